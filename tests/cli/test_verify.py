# SPDX-License-Identifier: Apache-2.0
"""`sara verify`: says what it checked, and finds what is wrong."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"


def rewritten(source, target, change):
    """A copy of an adapter with change(tensors, metadata) made to it."""
    with safe_open(source, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(source)
    change(tensors, metadata)
    save_file(tensors, target, metadata=metadata)
    return target


def test_an_adapter_with_and_without_its_base(sara, model, adapter):
    done = sara("verify", adapter)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("ok  ") for line in lines) and any("indices increasing" in line for line in lines)
    found = json.loads(sara("verify", adapter, "--model", model, "--json").stdout)
    assert found["kind"] == "adapter" and len(found["checks"]) == len(lines) + 1
    assert "base hashes equal" in found["checks"][-1]


def test_a_model_folder_and_a_weight_file(sara, model):
    done = sara("verify", model)
    assert done.returncode == 0, done.stderr
    weights = sum(tensor.numel() for tensor in load_file(model / UNET).values())
    assert f"{weights} weights" in done.stdout
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"):
        assert f"ok  {part}" in done.stdout
    assert "all finite" in sara("verify", model / UNET).stdout


def hash_of(metadata, text):
    hashes = json.loads(metadata["base_hash"])
    hashes[next(iter(hashes))] = text
    metadata["base_hash"] = json.dumps(hashes)


FAULTS = {
    "version": (lambda t, m: m.update(version="7"), ["version", "7"]),
    "no hashes": (lambda t, m: m.pop("base_hash"), ["base_hash"]),
    "hash for one tensor missing": (lambda t, m: m.update(base_hash="{}"), ["base hash", "none"]),
    "a hash that is none": (lambda t, m: hash_of(m, "xyz"), ["base hash", "xyz"]),
    "nothing in it": (lambda t, m: t.clear(), ["no tensors"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_adapter_is_found(refused, adapter, tmp_path, fault):
    change, phrases = FAULTS[fault]
    refused(3, phrases, "verify", rewritten(adapter, tmp_path / "bad.safetensors", change))


def test_a_damaged_model_is_found(refused, own_model):
    tensors = load_file(own_model / UNET)
    tensors["conv_in.bias"][3] = float("inf")
    save_file(tensors, own_model / UNET, metadata={"format": "pt"})
    refused(3, ["conv_in.bias", "1 NaN or Inf"], "verify", own_model)
    refused(3, ["conv_in.bias", "NaN or Inf"], "verify", own_model / UNET)
    (own_model / UNET).write_bytes((own_model / UNET).read_bytes()[:-8])
    refused(3, [UNET, "8"], "verify", own_model)


def test_another_base_is_found(refused, own_model, adapter):
    tensors = load_file(own_model / UNET)
    tensors["conv_in.bias"] += 1e-3
    tensors["conv_in.weight"] += 1e-3
    save_file(tensors, own_model / UNET, metadata={"format": "pt"})
    refused(3, ["another base", "conv_in"], "verify", adapter, "--model", own_model)


def test_what_cannot_be_verified_is_refused(refused, model, tmp_path):
    refused(4, ["nothing_here", "Fix"], "verify", tmp_path / "nothing_here")
    refused(2, "--model", "verify", model, "--model", model)
    refused(2, "--model", "verify", model / UNET, "--model", model)
    refused(2, "PATH", "verify")
    (tmp_path / "x.ckpt").write_bytes(b"\x80\x04.")
    refused(3, ["x.ckpt", "pickle"], "verify", tmp_path / "x.ckpt")


# The list of bad adapters that every verb must refuse with the model untouched.
def first(tensors, kind):
    return next(key for key in sorted(tensors) if key.endswith(kind) and tensors[key].numel() > 3)


def cut_gaps(tensors, metadata):
    key = first(tensors, ".gaps")
    tensors[key] = tensors[key][:-1].clone()


def long_gaps(tensors, metadata):
    key = first(tensors, ".gaps")
    tensors[key] = torch.cat([tensors[key], torch.tensor([0], dtype=torch.uint8)])


def open_gap(tensors, metadata):
    tensors[first(tensors, ".gaps")][-1] = 255


def past_the_end(tensors, metadata):
    key = first(tensors, ".gaps")
    tensors[key] = torch.cat([torch.full((9000,), 255, dtype=torch.uint8), tensors[key]])


def nan_delta(tensors, metadata):
    tensors[first(tensors, ".delta")][1] = float("nan")


def infinite_delta(tensors, metadata):
    tensors[first(tensors, ".delta")][1] = float("-inf")


def both_forms(tensors, metadata):
    key = first(tensors, ".delta")
    tensors[key.replace(".delta", ".value")] = tensors[key].clone()


def no_data(tensors, metadata):
    del tensors[first(tensors, ".delta")]


def wide_gaps(tensors, metadata):
    """Indices as numbers of their own, in any order, are no gaps."""
    key = first(tensors, ".gaps")
    tensors[key] = tensors[key].long().flip(0).contiguous()


def other_family(tensors, metadata):
    metadata["family"] = "sdxl"


def wrong_hash(tensors, metadata):
    hash_of(metadata, "0" * 32)


def other_key(tensors, metadata):
    for kind in (".gaps", ".delta"):
        tensors["unet.nowhere.weight" + kind] = tensors.pop(first(tensors, kind))
    metadata["base_hash"] = json.dumps({**json.loads(metadata["base_hash"]), "unet.nowhere.weight": "0" * 32})


BAD = {
    cut_gaps: ["fewer indices than values"],
    long_gaps: ["more indices than values"],
    open_gap: ["last gap has no end"],
    past_the_end: ["too small"],
    nan_delta: ["NaN or infinite"],
    infinite_delta: ["NaN or infinite"],
    both_forms: ["both of .delta and .value"],
    no_data: ["neither of .delta and .value"],
    wide_gaps: [".gaps", "U8"],
    other_family: ["another model family", "sd1", "sdxl"],
    wrong_hash: ["another base", "0" * 32],
    other_key: ["unet.nowhere.weight is not in the model"],
}


@pytest.mark.parametrize("verb", ["generate", "merge", "verify"])
@pytest.mark.parametrize("damage", BAD, ids=lambda damage: damage.__name__)
def test_bad_adapters_are_refused_by_name_and_the_model_stays_as_it_was(refused, model, adapter, tmp_path, damage, verb):
    bad = rewritten(adapter, tmp_path / "bad.safetensors", damage)
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    output = tmp_path / "out"
    words = {
        "generate": ["generate", "--model", model, "--prompt", "x", "--steps", "1", "--output", output, "--adapter", bad],
        "merge": ["merge", "--model", model, "--output", output, "--adapter", bad],
        "verify": ["verify", bad, "--model", model],
    }
    refused(3, ["bad.safetensors", *BAD[damage]], *words[verb])
    assert not output.exists() or not list(output.iterdir())
    assert before == {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}


@pytest.mark.parametrize("verb", ["generate", "merge"])
@pytest.mark.parametrize("scale", ["strong", "nan", "inf", "1e999", "0x1p", ""])
def test_a_scale_that_is_no_finite_number_is_refused(refused, model, adapter, tmp_path, verb, scale):
    words = ["--prompt", "x"] if verb == "generate" else []
    refused(2, "scale", verb, "--model", model, "--output", tmp_path / "out", "--adapter", f"{adapter}:{scale}", *words)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
