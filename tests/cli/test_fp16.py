# SPDX-License-Identifier: Apache-2.0
"""sara train --precision fp16: a dynamic loss scale, overflow apart from non-finite steps, and a result that loads."""

import json

import torch
from safetensors.torch import load_file, save_file


def trained(sara, model, pictures, output, *more, expect=0):
    done = sara("train", "--model", model, "--data", pictures, "--output", output, "--budget", "20%", "--lr", "1e-3", "--batch-size", "2", "--steps", "8", "--json", *more)
    assert done.returncode == expect, done.stderr
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return lines, done


def with_bias(model, bias):
    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_out.bias"].fill_(bias)
    save_file(tensors, path, metadata={"format": "pt"})


def test_the_losses_and_norms_are_those_of_fp32_and_the_scale_is_logged(sara, model, pictures, tmp_path):
    full, _ = trained(sara, model, pictures, tmp_path / "fp32")
    half, done = trained(sara, model, pictures, tmp_path / "fp16", "--precision", "fp16")
    assert all("loss_scale" not in line for line in full)
    assert [line["loss_scale"] for line in half] == [65536] * 8 and not any(line["overflowed"] for line in half)
    for ours, theirs in zip(half, full):
        assert abs(ours["loss"] / theirs["loss"] - 1) < 0.02
        assert abs(ours["grad_norm"] / theirs["grad_norm"] - 1) < 0.05
    summary = json.loads(done.stdout)
    assert summary["precision"] == "fp16" and summary["loss_scale"] == 65536 and summary["overflowed_steps"] == 0
    generated = sara(
        "generate", "--model", model, "--precision", "fp16", "--adapter", tmp_path / "fp16" / "adapter.safetensors", "--prompt", "a red square", "--steps", "2", "--output", tmp_path / "out"
    )
    assert generated.returncode == 0, generated.stderr


def test_a_gradient_that_overflows_lowers_the_scale_and_the_run_goes_on(sara, own_model, pictures, tmp_path):
    with_bias(own_model, 30.0)
    lines, done = trained(sara, own_model, pictures, tmp_path / "run", "--precision", "fp16", "--max-skipped-steps", "1", "--include", "conv_out", "--budget", "50%", "--force")
    overflowed = [line["overflowed"] for line in lines]
    assert overflowed[:3] == [True, True, True] and overflowed[-1] is False and overflowed == sorted(overflowed, reverse=True)
    assert [line["skipped"] for line in lines] == overflowed
    assert [line["loss_scale"] for line in lines] == [65536 / 2 ** min(step, sum(overflowed)) for step in range(8)]
    assert json.loads(done.stdout)["overflowed_steps"] == sum(overflowed)
    assert "skipped:" not in done.stderr


def test_a_model_that_overflows_by_itself_is_non_finite(sara, own_model, pictures, tmp_path):
    with_bias(own_model, 6e4)
    path = own_model / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_norm_out.weight"].fill_(6e4)
    tensors["conv_out.weight"] = torch.full_like(tensors["conv_out.weight"], 100.0)
    save_file(tensors, path, metadata={"format": "pt"})
    _, done = trained(sara, own_model, pictures, tmp_path / "run", "--precision", "fp16", expect=5)
    assert "non-finite" in done.stderr
