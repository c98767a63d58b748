# SPDX-License-Identifier: Apache-2.0
"""sara.AdamW under torch.distributed: two processes, each with half of the rows, are one process with all of them (pitfall row 32)."""

import os
import pathlib
import sys

import pytest
import torch
from launch import finished, start
from probe import BUILD

from one_of_several import STEPS, WAYS, outcome

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    paths = os.pathsep.join([str(BUILD / "python"), str(HERE)])
    done = finished(start(2, ["env", f"PYTHONPATH={paths}", sys.executable, HERE / "one_of_several.py", folder]))
    assert [code for code, _, _ in done] == [0, 0], done
    return [torch.load(folder / f"rank-{rank}.pt") for rank in range(2)]


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("way", WAYS)
def test_32_two_processes_with_half_of_the_rows_are_one_with_all(ranks, way):
    mine, others, alone = ranks[0][way], ranks[1][way], outcome(way, 0, 1)
    assert all(equal(mine[key], others[key]) for key in mine), "the ranks differ"
    for key in ("steps", "active", "selected", "still_active"):
        assert equal(mine[key], alone[key]), key
    assert alone["steps"] == STEPS - (way == "scaler") and 0 < alone["active"] < alone["selected"]
    for key in ("values", "exp_avg", "exp_avg_sq", "retired"):
        assert (mine[key] - alone[key]).abs().max() <= 2e-5 * alone[key].abs().max(), key


@pytest.mark.parametrize("way", WAYS)
def test_no_dense_gradient_stays_and_none_but_the_smallest_is_ddps(ranks, way):
    assert ranks[0][way]["dense gradients"] <= (8 if "ddp" in way or way == "accelerate" else 0)
    assert ranks[0][way]["left on the module"] == []


def test_what_cannot_work_is_refused_in_every_process(ranks):
    for refused in (rank["refused"] for rank in ranks):
        assert "2 processes now, 1 when the optimizer was made" in refused["started late"]
        assert "make the optimizer on the module itself, then wrap it" in refused["wrapped before"]
        assert refused["other weights"].startswith("rank 1: what is trained") and "Fix: " in refused["other weights"]
