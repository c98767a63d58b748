# SPDX-License-Identifier: Apache-2.0
"""--memory and --memory-budget of sara train and sara bench: what is kept changes, what is learned does not."""

import json

import pytest
import torch
from noise import noise_picture
from safetensors.torch import load_file

LEVELS = ("N0", "N1", "N2", "checkpoint")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory_pictures")
    for index in range(3):
        noise_picture((16, 16), 90, index).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"number {index}\n")
    return folder


def train(sara, model, pictures, output, *more):
    return sara("train", "--model", model, "--data", pictures, "--output", output, "--budget", "5%", "--lr", "1e-2", "--steps", "3", "--batch-size", "2", "--json", *more)


def test_every_level_learns_the_same(sara, model, pictures, tmp_path):
    learned = {}
    for level in LEVELS:
        done = train(sara, model, pictures, tmp_path / level, "--memory", level)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["memory"] == level
        assert f"memory: {level}, about " in done.stderr
        learned[level] = load_file(tmp_path / level / "adapter.safetensors")
    for level in ("N1", "N2"):
        assert learned[level].keys() == learned["N0"].keys()
        for name, tensor in learned["N0"].items():
            assert tensor.equal(learned[level][name]), (level, name)
    # Blocks that run again add up the gradient of the time embedding in another order: the last bits differ, and with them now and then a
    # step of Adam where a gradient is nearly 0.
    deltas = [name for name in learned["N0"] if name.endswith(".delta")]
    ours = torch.cat([learned["checkpoint"][name] for name in deltas])
    apart = (ours - torch.cat([learned["N0"][name] for name in deltas])).abs() > 1e-4
    assert deltas and apart.float().mean() < 1e-3


def test_auto_takes_the_fastest_level_that_fits(sara, model, pictures, tmp_path):
    roomy = train(sara, model, pictures, tmp_path / "roomy")
    assert json.loads(roomy.stdout)["memory"] == "N0"
    tight = train(sara, model, pictures, tmp_path / "tight", "--memory-budget", "0.01")
    assert tight.returncode == 0 and json.loads(tight.stdout)["memory"] == "checkpoint"
    assert "GB will be taken, more than the 0.01 GB there are. Fix: " in tight.stderr


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--memory", "N0", "--memory-budget", "4"], "memory_budget: no effect with memory N0. Fix: leave it out, or use memory auto"),
        (["--memory", "N3"], "--memory"),
        (["--memory-budget", "0"], "--memory-budget"),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused(sara, model, pictures, tmp_path, flags, message):
    done = train(sara, model, pictures, tmp_path / "run", *flags)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_the_bench_says_what_was_kept(sara, model):
    kept = {}
    for level in LEVELS:
        done = sara("bench", "train-step", "--model", model, "--resolution", "32", "--budget", "5%", "--lr", "1e-3", "--steps", "1", "--warmup", "0", "--memory", level, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["memory"] == level
        kept[level] = result["saved_activation_bytes"]
    assert kept["N0"] > kept["N1"] > kept["N2"] > kept["checkpoint"]


def test_a_flag_without_effect_on_random_weights_is_refused(sara):
    done = sara("bench", "train-step", "--model", "random:sd15", "--allow-nonfinite")
    assert done.returncode == 2 and "--allow-nonfinite: has no effect with random weights. Fix: leave it out" in done.stderr
