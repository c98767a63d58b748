# SPDX-License-Identifier: Apache-2.0
"""Benchmarks, one question a file."""
