# SPDX-License-Identifier: Apache-2.0
"""A budget needs no copy of the model: what finding the threshold and the mask adds to memory."""

import pytest

from probe import run_probe


@pytest.mark.parametrize("rule", ["below", "largest", "random", "smallest_per_tensor"])
def test_a_budget_takes_less_than_a_hundredth_of_the_model_beside_its_mask(rule):
    cost = {name: value.item() for name, value in run_probe("selection", config=dict(weights=400_000_000, threads=2, rule=rule, budget="1%")).items()}
    assert cost["selected"] == pytest.approx(4e6, rel=0.2)
    assert cost["threshold_extra_bytes"] < 0.01 * cost["model_bytes"]
    assert cost["select_extra_bytes"] < 0.01 * cost["model_bytes"] + 4.5 * cost["selected"]
