# SPDX-License-Identifier: Apache-2.0
"""The nuclear norm of a matrix and its subgradient: the rank loss of one parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from sara import _core


def nuclear_norm(matrix: torch.Tensor | tuple[torch.Tensor, torch.Tensor, Sequence[int]]) -> tuple[float, torch.Tensor]:
    """||A||_* and its subgradient U V^T (Sec. 4.2, Eq. 4-6).

    matrix: a tensor [out, in] (a convolution [o, i, kh, kw] counts as [o, i kh kw]), or (values [n], indices [n], shape): a matrix
    that is `values` at the sorted flat `indices` and 0 elsewhere. Computed in float32; singular values below 1e-3 of the largest
    count as zero.

    Returns (value: float, gradient: float32 tensor of the matrix's shape, or [n] at the indices).
    Raises ValueError for fewer than two dimensions, sizes that differ and indices outside the matrix.
    """
    if isinstance(matrix, torch.Tensor):
        shape = _shape(matrix.shape)
        flat = matrix.detach().float().reshape(-1)
        value, gradient = _core.nuclear_norm(flat, torch.arange(flat.numel(), device=flat.device), *shape)
        return value, gradient.view(matrix.shape)
    values, indices, shape = matrix
    rows, columns = _shape(shape)
    if values.dim() != 1 or values.shape != indices.shape:
        raise _core.InvalidArgument(f"matrix: values and indices differ (got {list(values.shape)} and {list(indices.shape)}). Fix: one index a value")
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < rows * columns:
        raise _core.InvalidArgument(f"matrix: an index lies outside (expected 0 to {rows * columns - 1}). Fix: correct indices or shape")
    return _core.nuclear_norm(values.detach().float().contiguous(), indices.contiguous(), rows, columns)


def _shape(shape):
    shape = tuple(shape)
    if len(shape) < 2 or math.prod(shape) == 0:
        raise _core.InvalidArgument(f"matrix: not a matrix (expected at least two dimensions, got {list(shape)}). Fix: pass a weight of a linear or convolution layer")
    return shape[0], math.prod(shape[1:])
