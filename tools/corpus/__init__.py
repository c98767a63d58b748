# SPDX-License-Identifier: Apache-2.0
"""Sources of named pictures: each module offers `pictures(options)`, which yields `Picture`s, and a `SOURCE` record."""
