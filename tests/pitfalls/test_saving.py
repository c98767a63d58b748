# SPDX-License-Identifier: Apache-2.0
"""Rows 42-52: save, load, scale, merge, resume."""

import json
import os
import re
import shutil
import subprocess
import time

import pytest
import torch
from PIL import Image
from pitfall_runs import UNET, adapter_tensors, log, metadata, network, probe_train, same
from probe import BUILD, ProbeError, run_probe
from safetensors.torch import load_file


def test_42_loading_what_was_saved_gives_the_trained_weights_and_a_wrong_size_is_named(tmp_path):
    base, path = network(torch.bfloat16), tmp_path / "adapter.safetensors"
    trained = probe_train(base, 20, path)
    out = run_probe("adapter", base, {"adapters": [[str(path), 1.0]], "family": "test"})
    assert all(torch.equal(out[name], trained[f"w.{name}"]) for name in base)
    cut = dict(base, **{"up.weight": base["up.weight"][:2].clone()})
    with pytest.raises(ProbeError, match=r"up\.weight.*64"):  # what the tensor has
        run_probe("adapter", cut, {"adapters": [[str(path), 1.0]], "family": "test", "force": True})


def test_43_an_adapter_stands_alone(train, tmp_path):
    _, output = train("--budget", "5%", "--lr", "1e-2")
    path = output / "adapter.safetensors"
    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + header_bytes])  # safetensors: JSON, not a pickle
    assert {"format", "version", "family", "base_hash", "threshold", "selected"} <= header["__metadata__"].keys()
    assert all(name.startswith("unet.") for name in header if name != "__metadata__")
    base, small = network(), tmp_path / "small.safetensors"
    trained = probe_train(base, 5, small)
    turned = {name: base[name] for name in reversed(base)}
    out = run_probe("adapter", turned, {"adapters": [[str(small), 1.0]], "family": "test"})
    assert all(torch.allclose(out[name], trained[f"w.{name}"], rtol=3e-7, atol=1e-9) for name in base)
    for change, family, reason in (({"up.weight": base["up.weight"] + 1}, "test", "another base: up.weight"), ({}, "sdxl", "another model family")):
        with pytest.raises(ProbeError, match=reason):
            run_probe("adapter", {**base, **change}, {"adapters": [[str(small), 1.0]], "family": family})
        run_probe("adapter", {**base, **change}, {"adapters": [[str(small), 1.0]], "family": family, "force": True})


def test_44_an_adapter_on_top_of_another_adds_and_a_changed_base_is_noticed(tmp_path):
    base, path = network(), tmp_path / "adapter.safetensors"
    trained = probe_train(base, 5, path)
    twice = run_probe("adapter", base, {"adapters": [[str(path), 1.0], [str(path), 1.0]], "family": "test"})
    for name in base:
        torch.testing.assert_close(twice[name] - base[name], 2 * (trained[f"w.{name}"] - base[name]), rtol=1e-4, atol=1e-8)
        assert torch.equal(twice[f"removed.{name}"], base[name])
    with pytest.raises(ProbeError, match="another base"):
        run_probe("adapter", {name: trained[f"w.{name}"] for name in base}, {"adapters": [[str(path), 1.0]], "family": "test"})


@pytest.fixture
def draw(sara, model, tmp_path):
    counter = iter(range(100))

    def run(*words, base=None, code=0):
        output = tmp_path / f"drawn{next(counter)}"
        done = sara("generate", "--model", base or model, "--prompt", "a red square", "--steps", "3", "--output", output, *words)
        assert done.returncode == code if code == 0 else done.returncode != 0, done.stderr
        return Image.open(output / "0000.png").convert("RGB").tobytes() if code == 0 else done

    return run


def test_45_generation_applies_the_adapter_or_says_that_it_cannot(draw, styled, tmp_path):
    base = draw()
    assert draw("--adapter", f"{styled}:0") == base != draw("--adapter", styled)
    (tmp_path / "bad.safetensors").write_bytes(styled.read_bytes()[:-5])
    draw("--adapter", tmp_path / "bad.safetensors", code=1)
    draw("--adapter", tmp_path / "missing.safetensors", code=1)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0])
def test_46_a_scale_multiplies_the_delta_and_removal_restores_the_base(scale, tmp_path):
    base, path = network(), tmp_path / "adapter.safetensors"
    probe_train(base, 5, path)
    out, deltas = run_probe("adapter", base, {"adapters": [[str(path), scale]], "family": "test"}), adapter_tensors(path)
    for name, weight in base.items():
        flat = weight.double().flatten()
        if name in deltas:
            flat[deltas[name][0]] += scale * deltas[name][1].double()
        assert torch.equal(out[name], flat.view_as(weight).float()), name
        assert torch.equal(out[f"removed.{name}"], weight), name


def test_47_merging_adds_scaled_deltas_in_any_order(train, sara, model, styled, draw, tmp_path):
    other = train("--budget", "8%", "--lr", "5e-2", "--seed", "9")[1] / "adapter.safetensors"  # overlaps, and has more
    words = ["--adapter", f"{styled}:0.6", "--adapter", f"{other}:0.5"]
    merged = [tmp_path / "one", tmp_path / "two"]
    for folder, order in zip(merged, (words, words[2:] + words[:2])):
        done = sara("merge", "--model", model, "--output", folder, *order)
        assert done.returncode == 0, done.stderr
    one, two, base = (load_file(folder / UNET) for folder in (*merged, model))
    for key, weight in base.items():
        flat = weight.double().flatten()
        for path, scale in ((styled, 0.6), (other, 0.5)):
            if f"unet.{key}" in adapter_tensors(path):
                indices, delta = adapter_tensors(path)[f"unet.{key}"]
                flat[indices] += scale * delta.double()
        assert torch.equal(one[key], two[key])
        torch.testing.assert_close(one[key], flat.view_as(weight).float(), rtol=3e-7, atol=1e-9)
    assert draw(base=merged[0]) == draw(*words)


def test_50_the_end_is_saved(train):
    _, output = train("--budget", "5%", "--lr", "1e-3", steps=5)
    assert metadata(output / "adapter.safetensors")["steps"] == "5" and log(output)[-1]["step"] == 5


def resumed(train, sara, model, pictures, at, *more, steps=20):
    """Trains twenty steps in one go, and again from the checkpoint after step `at`: the folders of both."""
    words = ("--checkpoint-every", "1", "--lr", "1e-2", *more)
    _, straight = train(*words, steps=steps)
    again = straight.with_name("again")
    shutil.copytree(straight, again)
    for path in (again / "checkpoints").iterdir():
        if int(path.name.removeprefix("step-")) > at:
            shutil.rmtree(path)
    (again / "summary.json").unlink()
    done = sara("train", "--model", model, "--data", pictures, "--output", again, "--steps", steps, "--batch-size", "2", *words, "--resume")
    assert done.returncode == 0 and f"resumed after step {at}" in done.stderr, done.stderr
    return straight, again


def states(output):
    return [load_file(output / "checkpoints" / f"step-{step}" / "state.safetensors") for step in (11, 20)]


def assert_same_run(one, other):
    """Log, learned values, moments and every other tensor of the state; rate and order of the data show in the log."""
    timeless = [[{name: value for name, value in line.items() if name not in ("seconds", "memory_gb")} for line in log(output)] for output in (one, other)]
    assert timeless[0] == timeless[1] and [line["step"] for line in timeless[1]] == list(range(1, 21))
    for ours, theirs in zip(states(one), states(other)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours if name != "progress.seconds")


@pytest.mark.parametrize("at", [7, 10])  # inside an epoch of two steps, and at the end of one
def test_48_twenty_steps_are_some_and_a_resume_and_the_rest(train, sara, model, pictures, at):
    straight, again = resumed(train, sara, model, pictures, at, "--budget", "5%", "--random-flip", "--caption-dropout", "0.3", "--progressive-iter", "0")
    assert_same_run(straight, again)
    assert same(straight, again)


@pytest.mark.parametrize("at", [9, 10, 11])
def test_49_a_resume_before_at_and_after_the_switch_is_the_uninterrupted_run(train, sara, model, pictures, at):
    straight, again = resumed(train, sara, model, pictures, at, "--budget", "5%", "--progressive-iter", "10")
    assert_same_run(straight, again)
    assert same(straight, again)
    assert [line["step"] for line in log(again) if line["reselected"]] == [10]
    assert 0 < log(again)[-1]["active"] < log(again)[0]["active"]


def test_51_a_limit_of_two_leaves_the_two_newest_and_a_killed_save_the_ones_before(train, sara, model, pictures, tmp_path):
    words = ("--budget", "5%", "--lr", "1e-2", "--checkpoint-every", "1", "--checkpoints-limit", "2")
    _, whole = train(*words, steps=9)
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == ["step-8", "step-9"]
    command = [BUILD / "sara", "train", "--model", model, "--data", pictures, "--output", tmp_path / "run", "--batch-size", "2", *words]
    process = subprocess.Popen([*map(str, command), "--steps", "100000"], stderr=subprocess.DEVNULL, env=dict(os.environ, OMP_NUM_THREADS="1"))
    folder = tmp_path / "run/checkpoints"
    saving = set()
    while process.poll() is None and not (saving and (folder / "step-3").exists()):
        time.sleep(0.001)
        saving = {path.name for path in folder.glob("step-*.tmp.*")} if folder.exists() else set()
    process.kill()  # in the middle of a save, or a moment later
    process.wait()
    whole = {int(path.name.removeprefix("step-")) for path in folder.iterdir() if re.fullmatch(r"step-\d+", path.name)}
    assert len(whole) in (2, 3) and max(whole) >= 3  # three between a save and its pruning
    done = sara(*command[1:], "--steps", max(whole) + 2, "--resume", "--allow-change", "--strict")
    assert done.returncode == 0 and f"resumed after step {max(whole)}" in done.stderr, done.stderr


def test_52_full_training_saves_weights_that_load_and_resumes(train, sara, model, pictures):
    straight, again = resumed(train, sara, model, pictures, 10, "--method", "full")
    assert_same_run(straight, again)
    tuned, base = load_file(again / "weights.safetensors"), load_file(model / UNET)
    assert {f"unet.{name}" for name in base} == set(tuned)
    assert all(tuned[f"unet.{name}"].shape == weight.shape and not torch.equal(tuned[f"unet.{name}"], weight) for name, weight in base.items())
    assert all(torch.equal(weight, tuned[name]) for name, weight in load_file(straight / "weights.safetensors").items())
