# SPDX-License-Identifier: Apache-2.0
"""`sara inspect`: what it says of folders and files."""

import json

from safetensors.torch import load_file

UNET = "unet/diffusion_pytorch_model.safetensors"


def inspected(sara, path, *words):
    done = sara("inspect", path, "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_model_folder(sara, model):
    found = inspected(sara, model)
    weights = sum(tensor.numel() for tensor in load_file(model / UNET).values())
    assert (found["kind"], found["family"], found["resolution"], found["prediction_type"]) == ("model", "sd1", 16, "epsilon")
    assert found["parts"]["unet"]["weights"] == weights
    assert found["parts"]["unet"]["types"] == {"F32": weights}
    assert found["parts"]["tokenizer"]["class"] == "CLIPTokenizer"


def test_a_component_folder_and_a_weight_file(sara, model):
    folder, file = inspected(sara, model / "unet"), inspected(sara, model / UNET, "--tensors")
    assert (folder["kind"], folder["class"], file["kind"]) == ("component", "UNet2DConditionModel", "weights")
    assert folder["weights"] == file["weights"]
    assert file["listed"]["conv_in.bias"] == "F32 [16]"


def test_an_adapter(sara, adapter):
    found = inspected(sara, adapter)
    assert (found["kind"], found["form"], found["family"], found["prompt_prefix"]) == ("adapter", "delta", "sd1", "tiny style, ")
    assert found["weights"] == sum(tensor.numel() for key, tensor in load_file(adapter).items() if key.endswith(".delta"))
    assert float(found["threshold"]) > 0 and found["steps"] == "4"


def test_the_text_says_the_same(sara, model):
    text = sara("inspect", model).stdout
    assert "family: sd1" in text and "UNet2DConditionModel" in text


def test_what_cannot_be_read_is_refused(refused, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"")
    (tmp_path / "x.ckpt").write_bytes(b"\x80\x04.")
    (tmp_path / "empty").mkdir()
    refused(3, "x.safetensors", "inspect", tmp_path / "x.safetensors")
    refused(3, ["x.ckpt", "pickle"], "inspect", tmp_path / "x.ckpt")
    refused(3, "model_index.json", "inspect", tmp_path / "empty")
    refused(3, "nothing", "inspect", tmp_path / "nothing")
    refused(2, "PATH", "inspect")
