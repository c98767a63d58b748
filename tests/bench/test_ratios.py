# SPDX-License-Identifier: Apache-2.0
import pytest

from bench.against.cells import PEERS, PRECISIONS, Cell, cells_of
from bench.against.ratios import RATIOS, Ratio, Term, needed_cells, rows
from bench.against.result import summaries

OURS, BASE, LORA = Cell("sara", "fp32", 4), Cell("base", "fp32", 4), Cell("lora-all", "fp32", 4)


def row(result, name):
    return next(row for row in rows(summaries(result)) if row["name"] == name)


def test_a_cell_is_the_median_over_rounds_of_each_rounds_median(result):
    lora = summaries(result)[LORA]
    assert (lora["step_s"], lora["step_s_low"], lora["step_s_high"], lora["rounds"]) == (10.5, 9.0, 12.0, 2)
    assert summaries(result)[BASE]["step_s"] == 4.5
    assert summaries(result)[OURS]["peak_rss_gb"] == 4.5


def test_a_ratio_divides_ours_by_the_peer_and_meets_its_bar_or_not(result):
    assert row(result, "our step / PEFT LoRA all layers, fp32, batch 4") == {
        "name": "our step / PEFT LoRA all layers, fp32, batch 4", "value": 4.5 / 10.5, "at_most": 0.80, "aim": 0.60, "met": True,
    }  # fmt: skip
    assert row(result, "our peak memory / PEFT LoRA all layers, fp32, batch 4")["value"] == 4.5 / 8
    assert row(result, "saved-activation bytes / eager autograd, fp32, batch 4")["value"] == 0.4
    assert row(result, "rank loss / our step, fp32, batch 4")["value"] == pytest.approx(0.07 / 4.5)  # of all draws, not of those that fell into the run
    result["runs"] = [dict(run, step_s=[9.0]) if run["peer"] == "sara" else run for run in result["runs"]]
    assert row(result, "our step / PEFT LoRA all layers, fp32, batch 4")["met"] is False


def test_a_ratio_just_at_its_bar_is_met():
    ratio = Ratio("", Term(OURS, "step_s"), Term(BASE, "step_s"), at_most=0.5, aim=0.1)
    assert ratio.row({OURS: {"step_s": 2.0}, BASE: {"step_s": 4.0}})["met"] is True


def test_the_share_of_weight_gradients_is_of_the_step_that_they_were_measured_in(result):
    result["runs"].append({**result["runs"][2], "peer": "sara-tenth", "step_s": [5.0], "weight_gradients_s": [0.7, 0.4, 0.45]})
    assert row(result, "sparse weight gradients / our step at a tenth of it, fp32, batch 4")["value"] == 0.45 / 5.0
    assert row(result, "sparse weight gradients / our step at the budget, fp32, batch 4")["value"] is None  # a file of an earlier program


def test_a_ratio_of_what_was_not_measured_is_none_and_neither_met_nor_missed(result):
    missing = row(result, "our step / dense selective, fp32, batch 1")
    assert missing["value"] is None and missing["met"] is None


def test_everything_that_the_ratios_need_is_in_a_run_of_everything():
    assert needed_cells() <= set(cells_of(PEERS, PRECISIONS, [1, 4]))
    assert len({ratio.name for ratio in RATIOS}) == len(RATIOS)


def test_compared_cells_stand_next_to_each_other():
    order = cells_of(["base", "sara"], PRECISIONS, [1, 4])
    assert [(c.peer, c.precision, c.batch_size) for c in order[:5]] == [
        ("base", "fp32", 1), ("sara", "fp32", 1), ("base", "bf16-autocast", 1), ("base", "bf16", 1), ("sara", "bf16", 1),
    ]  # fmt: skip
