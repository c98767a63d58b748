# SPDX-License-Identifier: Apache-2.0
"""The run itself: rounds, what it writes, going on, and what it refuses."""

import json

import pytest
from probe import BUILD, ROOT

from bench.against.__main__ import count, parsed, planned
from bench.against.cells import Cell
from bench.against.machine import OtherProcesses
from bench.against.processes import ours_command
from bench.against.result import STEP_TIMES, TIMES

COMMON = ("--resolution", 16, "--budget", "20K", "--batch-sizes", "2", "--warmup", 1, "--steps", 2, "--threads", 1)


@pytest.fixture(scope="module")
def measured(against, tiny, tmp_path_factory):
    """Two peers, one round, one precision."""
    output = tmp_path_factory.mktemp("measured") / "result.json"
    flags = ("--model", tiny, *COMMON, "--peers", "base,lora-all,eager-saved", "--precisions", "fp32", "--rounds", 1, "--output", output)
    done = against(*flags)
    assert done.returncode == 0, done.stderr
    return output, flags, done


def test_a_run_leaves_every_number_with_machine_commit_and_versions(measured):
    result = json.loads(measured[0].read_text())
    assert (result["format"], result["version"]) == ("sara-bench-against", 1)
    assert result["machine"]["cores"] >= 1 and result["machine"]["memory_gb"] > 0 and result["machine"]["cpu"]
    assert set(result["versions"]) == {"python", "torch", "diffusers", "peft"} and result["commit"] and len(result["bench"]) == 16
    assert result["settings"] == {
        "model": result["settings"]["model"], "resolution": 16, "budget": 20000, "warmup": 1, "steps": 2, "threads": 1, "adamw": "default", "ours_flags": [], "ranks": {},
    }  # fmt: skip
    base, lora, eager = result["runs"]
    assert [run["peer"] for run in result["runs"]] == ["base", "lora-all", "eager-saved"]
    assert base["trained"] == 0 and lora["trained"] == pytest.approx(20_000, rel=0.3) and lora["rank"] >= 1 and lora["threads"] == 1
    for run in (base, lora):
        assert all(len(run[field]) == 2 and all(second > 0 for second in run[field]) for field in STEP_TIMES)
        assert 0.1 < run["peak_rss_gb"] < 4 and 0 <= run["others_cpu"] <= 1
    assert eager["activation_bytes"] > 0 and eager["weight_copy_bytes"] == 0
    assert len(result["summaries"]) == 3 and all(row["met"] is None for row in result["ratios"])


def test_markdown_goes_to_stdout_and_progress_with_the_time_left_to_stderr(measured):
    done = measured[2]
    assert "| fp32 | PEFT LoRA, all linears and convolutions |" in done.stdout
    assert [line[:5] for line in done.stderr.splitlines()] == ["[1/3]", "[2/3]", "[3/3]"] and done.stderr.count("min left") == 3


def test_the_same_command_goes_on_where_it_was_stopped(measured, against):
    output, flags, _ = measured
    whole = json.loads(output.read_text())
    output.write_text(json.dumps({**whole, "runs": whole["runs"][:2]}))
    done = against(*flags)
    again = json.loads(output.read_text())
    assert done.returncode == 0 and [line[:5] for line in done.stderr.splitlines()] == ["[3/3]"]
    assert again["runs"][:2] == whole["runs"][:2] and len(again["runs"]) == 3


def test_numbers_of_other_settings_are_not_mixed_in(measured, against):
    output, flags, _ = measured
    before = output.read_bytes()
    done = against(*flags, "--adamw", "fused")
    assert done.returncode == 1 and "measured with another settings" in done.stderr and "--restart" in done.stderr and done.stderr.count("\n") == 1
    assert output.read_bytes() == before


def test_ours_runs_beside_the_peers(against, tmp_path):
    output = tmp_path / "result.json"
    model = ROOT / "models" / "mini-sd"
    flags = ("--model", model, "--resolution", 64, "--budget", "1M", "--batch-sizes", 1, "--warmup", 1, "--steps", 2, "--rounds", 1, "--threads", 1)
    done = against(*flags, "--peers", "sara,sara-tenth", "--precisions", "fp32", "--sara", BUILD / "sara", "--ours-flags", "--rank-mode one", "--output", output)
    assert done.returncode == 0, done.stderr
    ours, tenth = json.loads(output.read_text())["runs"]
    assert ours["trained"] == pytest.approx(1_000_000, rel=0.01) and ours["saved_activation_bytes"] > 0 and ours["program"]
    assert ours["method"] == "sara" and tenth["trained"] == pytest.approx(100_000, rel=0.01)
    for run in (ours, tenth):
        assert all(len(run[field]) == 2 and all(second > 0 for second in run[field]) for field in TIMES)
        assert all(part < whole for part, whole in zip(run["weight_gradients_s"], run["backward_s"]))


def test_the_flags_of_ours_reach_the_program():
    settings = dict(model="m", resolution=64, budget=1000, steps=2, warmup=1, ours_flags=["--rank-mode", "all"], sara="build/sara")
    whole, tenth = (ours_command(Cell(peer, "bf16", 4), settings) for peer in ("sara", "sara-tenth"))
    assert whole[-2:] == ["--rank-mode", "all"] and whole[whole.index("--budget") + 1] == "1000" and whole[whole.index("--batch-size") + 1] == "4"
    assert tenth[tenth.index("--budget") + 1] == "100"


def test_rounds_visit_every_cell_once_and_count_saved_bytes_only_once():
    options = parsed(["--peers", "base,eager-saved,sara", "--precisions", "fp32", "--batch-sizes", "4", "--rounds", "2"])
    assert [(k, cell.peer) for k, cell in planned(options)] == [(1, "base"), (1, "eager-saved"), (1, "sara"), (2, "base"), (2, "sara")]


def test_counts_are_read_with_their_units():
    assert [count(word) for word in ("50M", "5k", "2.5M", "70")] == [50_000_000, 5_000, 2_500_000, 70]


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--peers", "lora"), "unknown 'lora'"),
        (("--precisions", "fp16"), "unknown 'fp16'"),
        (("--rank", "full=3"), "'full' has no rank"),
        (("--rounds", "0"), "expected at least 1"),
        (("--peers", "full", "--precisions", "bf16"), "none of them runs in bf16"),
        (("--sara", "nowhere/sara"), "no such program"),
        (("--resolution", "100"), "expected a multiple of 8, got 100"),
        (("--model", "nowhere"), "neither a known configuration nor a model folder"),
    ],
)
def test_bad_flags_are_refused(against, tmp_path, flags, message):
    done = against(*flags, "--output", tmp_path / "none.json")
    assert done.returncode != 0 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "none.json").exists()


def test_a_run_that_fails_is_told_in_one_line_and_leaves_nothing(against, tiny, tmp_path):
    done = against("--model", tiny, *COMMON, "--peers", "shira", "--precisions", "fp32", "--rank", "shira=9999", "--output", tmp_path / "none.json")
    assert done.returncode == 1 and done.stderr.startswith("bench.against: error: shira fp32 batch 2: ended with 1: ValueError: The set rank 9999")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "none.json").exists()


def test_others_are_what_neither_idled_nor_was_ours(monkeypatch):
    ticks = iter([(1000, 4000, 100.0), (1150, 4200, 190.0)])  # busy, busy + idle, own
    monkeypatch.setattr(OtherProcesses, "_ticks", lambda self: next(ticks))
    assert OtherProcesses().share() == (150 - 90) / 200
