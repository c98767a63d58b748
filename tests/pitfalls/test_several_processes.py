# SPDX-License-Identifier: Apache-2.0
"""Row 32 at the program: several processes train one model. The trainer's own tests are in tests/train/several_processes_test.cpp, those of the
Python optimizer in tests/python/test_processes.py."""

import json
import signal
import time

import pytest
import torch
from launch import finished, start
from pitfall_runs import adapter_tensors, log, metadata
from probe import BUILD
from safetensors.torch import load_file

SARA, LR = BUILD / "sara", 2e-3


@pytest.fixture(scope="module")
def words(model, pictures):
    """The command of a small run with a switch after its second step; batch size and output are the caller's."""
    return [SARA, "train", "--model", model, "--data", pictures, "--threshold", "0.02", "--force", "--lr", LR, "--eps", "1e-4", "--steps", "4",
            "--progressive-iter", "2", "--checkpoint-every", "2", "--caption-dropout", "0.3", "--gradient-accumulation-steps", "2"]  # fmt: skip


def in_processes(count, words, output, *more):
    done = finished(start(count, [*words, "--output", output, *more]))
    assert [code for code, _, _ in done] == [0] * count, done
    return done


@pytest.fixture(scope="module")
def two(words, tmp_path_factory):
    output = tmp_path_factory.mktemp("two") / "run"
    return in_processes(2, words, output, "--batch-size", "1", "--json"), output


def close(name, found, expected):
    """Another order of additions in the gradients: a thousandth of a step for weights, a few units in the last place for moments."""
    allowed = 1e-5 * expected.abs().max() if "exp_avg" in name else 1e-3 * LR
    return (found - expected).abs().max() <= allowed


def test_32_two_processes_of_batch_one_train_what_one_of_batch_two_trains(two, words, tmp_path):
    one = tmp_path / "run"
    in_processes(1, words, one, "--batch-size", "2")
    for mine, theirs in zip(log(two[1]), log(one), strict=True):
        assert (mine["step"], mine["active"], mine["reselected"]) == (theirs["step"], theirs["active"], theirs["reselected"])
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5) and mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
    assert [line["reselected"] for line in log(one)] == [False, True, False, False] and 0 < log(one)[3]["active"] < log(one)[0]["active"]
    for step in (2, 4):  # weights and moments
        files = [next((output / "checkpoints" / f"step-{step}").glob("*.safetensors")) for output in (two[1], one)]
        mine, theirs = map(load_file, files)
        assert mine.keys() == theirs.keys()
        for name, tensor in theirs.items():
            if name.startswith("progress."):
                continue  # times, and losses that the log has shown
            same = torch.equal(mine[name], tensor) if tensor.dtype in (torch.bool, torch.int64, torch.float64) else close(name, mine[name], tensor)
            assert same, (step, name)
    found, expected = (adapter_tensors(output / "adapter.safetensors") for output in (two[1], one))
    assert found.keys() == expected.keys()
    for key, (indices, delta) in expected.items():
        assert torch.equal(found[key][0], indices) and (found[key][1] - delta).abs().max() < 1e-3 * LR


def test_32_rank_0_alone_writes_and_tells(two):
    done, output = two
    summary = json.loads(done[0][1])
    assert summary["processes"] == 2 and summary["batch_size"] == 1 and metadata(output / "adapter.safetensors")["processes"] == "2"
    assert "batch of 2" in done[0][2]
    assert done[1][1:] == ("", "")
    assert len(log(output)) == 4 and not list(output.glob("**/*.tmp.*"))


def test_32_a_run_of_two_goes_on_from_its_checkpoint_bit_for_bit_and_not_in_one(two, words, tmp_path):
    done, output = in_processes(2, words, tmp_path / "run", "--batch-size", "1", "--steps", "4"), tmp_path / "run"
    for name in ("adapter.safetensors", "summary.json"):
        (output / name).unlink()
    [path.unlink() for path in (output / "checkpoints" / "step-4").iterdir()]
    (output / "checkpoints" / "step-4").rmdir()
    alone = finished(start(1, [SARA, "train", "--config", output / "config.toml", "--resume"]))[0]
    assert alone[0] == 2 and "processes: 2, now not set" in alone[2]
    done = finished(start(2, [SARA, "train", "--config", output / "config.toml", "--resume"]))
    assert [code for code, _, _ in done] == [0, 0], done
    mine, theirs = load_file(output / "adapter.safetensors"), load_file(two[1] / "adapter.safetensors")
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in theirs)


def started(words, output, *more):
    """Two ranks that train and have taken a step."""
    processes = start(2, [*words, "--output", output, "--batch-size", "1", "--steps", "100000", *more])
    end = time.monotonic() + 60
    while not (output / "metrics.jsonl").exists() or not (output / "metrics.jsonl").read_text():
        assert time.monotonic() < end and all(process.poll() is None for process in processes), finished(processes, 1)
        time.sleep(0.02)
    return processes


def test_32_a_rank_that_dies_ends_the_other_with_one_line(words, tmp_path):
    output = tmp_path / "run"
    processes = started(words, output)
    processes[1].kill()
    (code, _, errors), _ = finished(processes, timeout=30)
    errors = [line for line in errors.splitlines() if line.startswith("sara: error: ")]
    assert code == 4 and len(errors) == 1
    assert "rank 0 of 2 lost the others" in errors[0] and "a rank has ended. Fix: " in errors[0]
    assert (output / "adapter.safetensors").exists()  # what was trained up to then


def test_32_a_signal_to_one_rank_stops_and_saves_the_whole_run(words, tmp_path):
    output = tmp_path / "run"
    processes = started(words, output)
    processes[1].send_signal(signal.SIGTERM)
    done = finished(processes, timeout=30)
    assert [code for code, _, _ in done] == [143, 143], done
    assert "2 processes of sara train --config" in done[0][2] and "--resume" in done[0][2]
    steps = json.loads((output / "summary.json").read_text())["steps"]
    assert (output / "checkpoints" / f"step-{steps}").is_dir() and (output / "adapter.safetensors").exists()


def test_32_ranks_that_differ_are_named_before_the_first_step(words, tmp_path):
    processes = start(2, [*words, "--batch-size", "1"], lambda rank: ["--output", tmp_path / str(rank), "--seed", rank])
    for code, _, errors in finished(processes):
        assert code == 2 and "rank 1: the run (settings" in errors and "Fix: " in errors
    assert not (tmp_path / "1").exists()


def test_32_what_cannot_run_in_several_processes_says_so(refused, words, tmp_path):
    two = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    refused(2, ["WORLD_SIZE", "pretrain", "without torchrun"], "pretrain", "denoiser", "--layout", tmp_path, "--output", tmp_path, env=two)
    refused(2, ["RANK: not set"], *words[1:], "--output", tmp_path / "run", env={"WORLD_SIZE": "2"})
    refused(2, ["process_timeout: no effect"], *words[1:], "--output", tmp_path / "run", "--process-timeout", "5")
    refused(4, ["rank 0 of 2", "meeting them"], *words[1:], "--output", tmp_path / "run", "--process-timeout", "1", env={**two, "MASTER_PORT": "29871"})
    assert not (tmp_path / "run").exists()
