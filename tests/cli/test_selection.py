# SPDX-License-Identifier: Apache-2.0
"""`sara train --selection RULE`: the masks in the adapter are those of an independent computation on the base."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from test_merge import deltas

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def train(sara, model, pictures, tmp_path):
    def run(*words, expect=0):
        output = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        done = sara(
            *("train", "--model", model, "--data", pictures, "--output", output, "--steps", "1", "--batch-size", "1"),
            *words,
        )
        assert done.returncode == expect, done.stderr
        return output / "adapter.safetensors", done

    return run


def masks(path):
    return {key: indices.tolist() for key, (indices, _) in deltas(path).items()}


def ordered(model, scores):
    """Flat positions of all tensors in the library's order, by score (least first), ties by place."""
    with safe_open(model / UNET, "pt"):
        base = load_file(model / UNET)
    names = sorted(base)
    flat = np.concatenate([scores(name, base[name].numpy().reshape(-1)) for name in names])
    owner = np.concatenate([[index] * base[name].numel() for index, name in enumerate(names)])
    place = np.concatenate([np.arange(base[name].numel()) for name in names])
    order = np.argsort(flat, kind="stable")
    return names, flat[order], owner[order], place[order]


def test_largest_is_the_largest_magnitudes(train, model):
    path, _ = train("--selection", "largest", "--budget", "200", "--lr", "1e-3")
    names, scores, owner, place = ordered(model, lambda _, weights: -np.abs(weights))
    got = masks(path)
    assert sum(map(len, got.values())) == 200
    bound = scores[199]  # ties at the bound may fall either way: compare what lies strictly before it
    for score, index, position in zip(scores, owner, place):
        if score >= bound:
            break
        assert position in got["unet." + names[index]]
    with safe_open(path, "pt") as file:
        assert file.metadata()["selection"] == "largest" and "threshold" not in file.metadata()
        assert file.metadata()["progressive_iter"] == "0"


def test_smallest_per_tensor_takes_the_same_share_of_each(train, model):
    path, _ = train("--selection", "smallest_per_tensor", "--budget", "10%", "--lr", "1e-3")
    base, got = load_file(model / UNET), masks(path)
    for name, tensor in base.items():
        indices = got.get("unet." + name, [])
        assert abs(len(indices) - 0.1 * tensor.numel()) <= 1
        magnitudes = tensor.abs().view(-1)
        rest = torch.ones(tensor.numel(), dtype=torch.bool)
        rest[indices] = False
        if indices:
            assert magnitudes[indices].max() <= magnitudes[rest].min()


def test_random_follows_its_seed_at_every_thread_count(train):
    words = ["--selection", "random", "--budget", "5%", "--lr", "1e-3"]
    first = masks(train(*words, "--seed", "4", "--threads", "1")[0])
    assert first == masks(train(*words, "--seed", "4", "--threads", "2")[0]) == masks(train(*words, "--seed", "4", "--threads", "5")[0])
    assert first != masks(train(*words, "--seed", "5")[0])


def test_changed_takes_what_a_tuned_model_moved(sara, train, own_model, model):
    base = load_file(own_model / UNET)
    generator = torch.Generator().manual_seed(0)
    moves = {key: torch.randn(tensor.shape, generator=generator) * (torch.rand(tensor.shape, generator=generator) < 0.2) for key, tensor in base.items()}
    save_file({key: tensor + moves[key] for key, tensor in base.items()}, own_model / UNET, metadata={"format": "pt"})
    got = masks(train("--selection", "changed", "--tuned", own_model, "--budget", "500", "--lr", "1e-3")[0])
    moved = {key: (load_file(own_model / UNET)[key] - base[key]).abs().view(-1) for key in base}
    bound = torch.cat(list(moved.values())).sort(descending=True).values[499]
    expected = {"unet." + key: torch.nonzero(change >= bound).view(-1).tolist() for key, change in moved.items()}
    assert got == {key: where for key, where in expected.items() if where}
    _, done = train("--selection", "changed", "--tuned", own_model, "--budget", "40%", "--lr", "1e-3", expect=2)
    assert "more than the weights that the tuned model moved" in done.stderr


def test_full_fine_tuning_then_its_most_changed_weights(train, sara, model, pictures, tmp_path):
    """LT-SFT in two commands."""
    full = ["train", "--model", model, "--data", pictures, "--output", tmp_path / "full", "--method", "full", "--steps", "2", "--batch-size", "1"]
    assert sara(*full, "--lr", "1e-4").returncode == 0
    path, _ = train("--selection", "changed", "--tuned", tmp_path / "full" / "weights.safetensors", "--budget", "1%", "--lr", "1e-3")
    assert sum(map(len, masks(path).values())) > 100


@pytest.mark.parametrize(
    "words, code, phrases",
    [
        (["--selection", "largest", "--lr", "1e-3"], 2, ["budget", "largest"]),
        (["--selection", "largest", "--budget", "5%"], 2, ["lr", "Fix: give a learning rate"]),
        (["--selection", "largest", "--budget", "5%", "--lr", "1e-3", "--progressive-iter", "1"], 2, ["progressive_iter", "threshold"]),
        (["--selection", "random", "--budget", "5%", "--lr", "1e-3", "--threshold", "1e-2", "--progressive-iter", "0"], 2, ["threshold", "no effect"]),
        (["--selection", "random", "--budget", "60%", "--lr", "1e-3"], 2, ["at most 50 %"]),
        (["--selection", "changed", "--budget", "5%", "--lr", "1e-3"], 2, ["tuned", "expected one, got none"]),
        (["--tuned", "{model}", "--budget", "5%"], 2, ["tuned", "no effect"]),
        (["--selection", "biggest", "--budget", "5%"], 2, ["selection", "largest"]),
        (["--selection", "changed", "--tuned", "{tmp}/nothing_here", "--budget", "5%", "--lr", "1e-3"], 4, ["nothing_here"]),
        (["--selection", "largest", "--method", "full"], 2, ["selection", "no effect with method full"]),
        (["--threshold", "0"], 2, ["threshold", "> 0"]),
        (["--threshold", "-1e-3"], 2, ["threshold", "> 0"]),
        (["--threshold", "nan"], 2, ["threshold"]),
        (["--budget", "900M"], 2, ["budget", "more than there is"]),
        (["--budget", "0"], 2, ["budget", "nothing would be selected"]),
        (["--budget", "101%"], 2, ["budget", "more than there is"]),
    ],
)
def test_what_a_rule_lacks_or_cannot_use_is_refused(train, refused, model, tmp_path, words, code, phrases):
    words = [word.format(model=model, tmp=tmp_path) for word in words]
    path, done = train(*words, expect=code)
    for phrase in phrases:
        assert phrase in done.stderr
    assert not path.exists()


def test_a_threshold_beside_a_budget_bounds_the_reselection(train, sara, model, pictures, tmp_path):
    output = tmp_path / "run"
    done = sara(
        *("train", "--model", model, "--data", pictures, "--output", output, "--selection", "random", "--budget", "5%", "--threshold", "5e-3"),
        *("--steps", "2", "--batch-size", "1", "--json"),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["selection"] == "random" and summary["threshold"] == 5e-3
    assert 0 < summary["active"] < summary["selected"]
    assert summary["lr"] == pytest.approx(1e-3 * np.exp(-350 * 5e-3))


@pytest.mark.parametrize("dtype, code, width", [("fp32", "F32", 4), ("bf16", "BF16", 2), ("fp16", "F16", 2)])
def test_the_adapter_dtype_is_that_of_the_file(train, sara, model, tmp_path, dtype, code, width):
    path, _ = train("--budget", "5%", "--lr", "1e-2", "--adapter-dtype", dtype)
    whole, _ = train("--budget", "5%", "--lr", "1e-2")
    with safe_open(path, "pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys() if key.endswith(".delta")} == {code}
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    for key, (indices, delta) in deltas(whole).items():
        assert torch.equal(deltas(path)[key][0], indices) and torch.equal(deltas(path)[key][1], delta.to(kind))
    merged = tmp_path / "again.safetensors"
    done = sara("merge", "--as", "adapter", "--adapter", whole, "--output", merged, "--adapter-dtype", dtype)
    assert done.returncode == 0, done.stderr
    assert all(torch.equal(value[1], deltas(merged)[key][1]) for key, value in deltas(path).items())
    assert sara("generate", "--model", model, "--adapter", path, "--prompt", "x", "--steps", "1", "--output", tmp_path / "out").returncode == 0


def test_the_adapter_dtype_means_nothing_to_full_training_and_models(refused, train, model, adapter, tmp_path):
    train("--method", "full", "--adapter-dtype", "bf16", "--lr", "1e-4", expect=2)
    words = ["merge", "--model", model, "--adapter", adapter, "--output", tmp_path / "merged"]
    refused(2, ["--adapter-dtype", "no effect"], *words, "--adapter-dtype", "bf16")
