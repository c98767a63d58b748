# SPDX-License-Identifier: Apache-2.0
"""`sara extract`: the adapter between two checkpoints gives the tuned one back, bit for bit, in every type."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def rewrite(path, change):
    tensors = load_file(path)
    tensors = {key: change(key, tensor) for key, tensor in tensors.items()}
    save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, path, metadata={"format": "pt"})


def moved(share, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def change(_, tensor):
        where = torch.rand(tensor.shape, generator=generator) < share
        noise = torch.randn(tensor.shape, generator=generator) * 1e-2
        return torch.where(where, (tensor.float() + noise).to(tensor.dtype), tensor)

    return change


@pytest.fixture
def pair(own_model, model, tmp_path):
    """base, tuned: make(dtype, change) rewrites both UNets."""
    import shutil

    tuned = tmp_path / "tuned"
    shutil.copytree(model, tuned)

    def make(dtype, change):
        for folder in (own_model, tuned):
            rewrite(folder / UNET, lambda _, tensor: tensor.to(dtype))
        rewrite(tuned / UNET, change)
        return own_model, tuned

    return make


def bits(tensor):
    return tensor.contiguous().view(-1).view(torch.int32 if tensor.element_size() == 4 else torch.int16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_merging_what_was_extracted_gives_the_tuned_model_bit_for_bit(sara, pair, tmp_path, dtype):
    base, tuned = pair(dtype, moved(0.2))
    adapter = tmp_path / "a.safetensors"
    done = sara("extract", "--base", base, "--tuned", tuned, "--output", adapter, "--json")
    assert done.returncode == 0, done.stderr
    wanted, before = load_file(tuned / UNET), load_file(base / UNET)
    differing = sum(int((bits(wanted[key]) != bits(before[key])).sum()) for key in wanted)
    assert json.loads(done.stdout)["weights"] == differing > 0
    with safe_open(adapter, "pt") as file:
        kinds = {key.rsplit(".", 1)[1] for key in file.keys()}
        assert file.metadata()["method"] == "extract" and file.metadata()["family"] == "sd1"
    assert kinds == {"gaps", "value" if dtype == torch.float32 else "delta"}
    done = sara("merge", "--model", base, "--adapter", adapter, "--output", tmp_path / "merged")
    assert done.returncode == 0, done.stderr
    got = load_file(tmp_path / "merged" / UNET)
    assert all(got[key].dtype == dtype and torch.equal(bits(got[key]), bits(wanted[key])) for key in wanted)
    assert sara("verify", adapter, "--model", base).returncode == 0


def test_the_extract_of_a_merge_is_the_adapter(sara, model, adapter, tmp_path):
    assert sara("merge", "--model", model, "--adapter", adapter, "--output", tmp_path / "merged").returncode == 0
    again = tmp_path / "again.safetensors"
    assert sara("extract", "--base", model, "--tuned", tmp_path / "merged", "--output", again).returncode == 0
    assert sara("merge", "--model", model, "--adapter", again, "--output", tmp_path / "twice").returncode == 0
    assert (tmp_path / "twice" / UNET).read_bytes() == (tmp_path / "merged" / UNET).read_bytes()


def test_the_weights_of_full_fine_tuning_are_a_tuned_model_too(sara, model, pictures, tmp_path):
    train = ["train", "--model", model, "--data", pictures, "--output", tmp_path / "run", "--method", "full", "--lr", "1e-3"]
    assert sara(*train, "--steps", "1", "--batch-size", "1", "--include", "attn1").returncode == 0
    weights, adapter = tmp_path / "run" / "weights.safetensors", tmp_path / "a.safetensors"
    assert sara("extract", "--base", model, "--tuned", weights, "--output", adapter).returncode == 0
    assert sara("merge", "--model", model, "--adapter", adapter, "--output", tmp_path / "merged").returncode == 0
    got, wanted = load_file(tmp_path / "merged" / UNET), load_file(weights)
    assert all(torch.equal(bits(got[key.removeprefix("unet.")]), bits(tensor)) for key, tensor in wanted.items())


def test_more_than_half_needs_force(sara, refused, pair, tmp_path):
    base, tuned = pair(torch.float32, moved(0.7))
    words = ["extract", "--base", base, "--tuned", tuned, "--output", tmp_path / "a.safetensors"]
    refused(2, ["weights differ", "at most half", "force"], *words)
    assert not (tmp_path / "a.safetensors").exists()
    assert sara(*words, "--force").returncode == 0


def without(name):
    return lambda key, tensor: None if key == name else tensor


def replaced(name, tensor_of):
    return lambda key, tensor: tensor_of(tensor) if key == name else tensor


@pytest.mark.parametrize(
    "change, phrases",
    [
        (without("conv_in.bias"), ["does not match", "1 missing: unet.conv_in.bias"]),
        (replaced("conv_in.bias", lambda t: t[:5].clone()), ["of another shape", "conv_in.bias", "16", "5"]),
        (replaced("conv_in.bias", lambda t: t.half()), ["of another type", "conv_in.bias", "F32", "F16"]),
        (replaced("conv_in.bias", lambda t: t * float("nan")), ["conv_in.bias", "NaN"]),
    ],
)
def test_models_that_do_not_match_are_refused(refused, pair, tmp_path, change, phrases):
    base, tuned = pair(torch.float32, change)
    refused(3, phrases, "extract", "--base", base, "--tuned", tuned, "--output", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_another_component_that_differs_is_not_dropped_in_silence(sara, refused, pair, tmp_path):
    base, tuned = pair(torch.float32, moved(0.1))
    rewrite(tuned / "text_encoder" / "model.safetensors", moved(0.1))
    words = ["extract", "--base", base, "--tuned", tuned, "--output", tmp_path / "a.safetensors"]
    refused(3, ["text_encoder", "--force"], *words)
    assert sara(*words, "--force").returncode == 0


def test_bad_words_are_refused(refused, model, adapter, tmp_path):
    output = tmp_path / "a.safetensors"
    refused(2, ["--base", "missing"], "extract", "--tuned", model, "--output", output)
    refused(2, ["--tuned", "missing"], "extract", "--base", model, "--output", output)
    refused(2, ["--output", "missing"], "extract", "--base", model, "--tuned", model)
    refused(2, [".safetensors"], "extract", "--base", model, "--tuned", model, "--output", tmp_path / "a")
    refused(2, ["nothing differs"], "extract", "--base", model, "--tuned", model, "--output", output)
    refused(3, ["is an adapter"], "extract", "--base", model, "--tuned", adapter, "--output", output)
    refused(3, ["nothing_here"], "extract", "--base", tmp_path / "nothing_here", "--tuned", model, "--output", output)
    output.write_text("mine")
    refused(4, ["a.safetensors", "--overwrite"], "extract", "--base", model, "--tuned", model, "--output", output)
    assert output.read_text() == "mine"
