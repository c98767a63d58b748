# SPDX-License-Identifier: Apache-2.0
"""Which weights a threshold or a budget selects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch

from sara import _core
from sara.parameters import named_parameters, scope_of, unwrapped


def budget_text(budget):
    """A budget as the library reads it: 50_000_000, "50M" and "5%" are budgets."""
    return None if budget is None else str(budget)


def patterns(given):
    """A pattern, several, or None, as a list."""
    return [] if given is None else [given] if isinstance(given, str) else list(given)


def weights_of(tuned):
    """A tuned module's parameters by the names they are trained under; None for None."""
    return None if tuned is None else dict(named_parameters(unwrapped(tuned)))


def mask(
    model: torch.nn.Module | Iterable[tuple[str, torch.Tensor]] | Sequence[dict],
    threshold: float | None = None,
    *,
    budget: int | str | None = None,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    force: bool = False,
    selection: Literal["below", "largest", "random", "smallest_per_tensor", "changed"] = "below",
    seed: int = 0,
    tuned: torch.nn.Module | None = None,
) -> dict[str, torch.Tensor]:
    """The selected positions, { |p| < threshold } (Sec. 3, 4.1, Eq. 1-3) or another selection's, without training anything.

    model: as for sara.AdamW. threshold: strict bound on |p| (2e-3 when no budget is given); or budget: a count (50_000_000,
    "50M") or a share ("5%"). include, exclude: regular expressions on parameter names. selection, tuned: as for sara.AdamW; seed: of
    selection "random".

    Returns a dict: parameter name -> sorted flat indices [n] (int32; int64 above 2^31 elements) into the contiguous tensor, for
    every parameter with something selected. It depends on the weights' bits only.

    Raises ValueError for both or bad values, a selection of nothing or of more than half of the weights (unless force), and NaN
    or infinite weights.
    """
    named = [item for group, _ in scope_of(model).groups for item in group]
    return _core.mask(named, threshold, budget_text(budget), patterns(include), patterns(exclude), force, selection, seed, weights_of(tuned))
