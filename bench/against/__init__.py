# SPDX-License-Identifier: Apache-2.0
"""A training step of sara beside the same step in the usual Python stack, interleaved in one run on one machine."""
