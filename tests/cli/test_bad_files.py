# SPDX-License-Identifier: Apache-2.0
"""Damaged, foreign and misfitting model and adapter files: one line, exit 3, nothing on stdout."""

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def generate(refused, tmp_path):
    def check(phrases, model, *more, code=3):
        output = tmp_path / "pictures"
        refused(code, phrases, "generate", "--model", model, "--prompt", "a cat", "--steps", "1", "--output", output, *more)
        assert not output.exists() or not list(output.iterdir())

    return check


def with_header(path, header):
    """Replaces the JSON header, keeping the data."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])


def header_of(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return data[8 : 8 + length]


def rewritten(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_truncated_weight_file_names_the_missing_bytes(generate, own_model):
    data = (own_model / UNET).read_bytes()
    (own_model / UNET).write_bytes(data[:-100])
    generate([UNET, "100", "download"], own_model)


def test_bytes_behind_the_last_tensor_are_refused(generate, own_model):
    with open(own_model / UNET, "ab") as file:
        file.write(b"x")
    generate([UNET, "1"], own_model)


def test_overlapping_tensors_are_named_with_their_bytes(generate, own_model):
    header = json.loads(header_of(own_model / UNET))
    in_order = sorted((key for key in header if key != "__metadata__"), key=lambda key: header[key]["data_offsets"])
    begin, end = header[in_order[1]]["data_offsets"]
    header[in_order[1]]["data_offsets"] = [begin - 4, end - 4]
    with_header(own_model / UNET, json.dumps(header).encode())
    generate([UNET, in_order[1], f"{begin - 4} to {end - 4}", "overlap"], own_model)


@pytest.mark.parametrize(
    "content, likeness",
    [
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 4, "HTML"),
        (b"PK\x03\x04" + bytes(200), "zip"),
        (b"GGUF\x03\x00\x00\x00" + bytes(200), "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
    ],
)
def test_a_file_of_another_kind_is_recognised(generate, own_model, content, likeness):
    (own_model / UNET).write_bytes(content)
    generate([UNET, likeness], own_model)


def test_a_tensor_named_twice_is_refused(generate, own_model):
    header = header_of(own_model / UNET).decode().rstrip()
    entry = json.dumps(json.loads(header)["conv_in.bias"])
    with_header(own_model / UNET, (header[:-1] + f', "conv_in.bias": {entry}}}').encode())
    generate([UNET, "conv_in.bias"], own_model)


@pytest.mark.parametrize("name", ["style.ckpt", "style.pt", "style.bin"])
def test_pickles_are_refused_with_the_way_to_convert(generate, model, tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    generate([name, "pickle", "Fix:"], model, "--adapter", tmp_path / name)


def test_a_component_with_a_pickle_alone_is_refused(generate, own_model):
    (own_model / UNET).rename(own_model / "unet" / "diffusion_pytorch_model.bin")
    generate(["diffusion_pytorch_model.bin", "pickle", "Fix:"], own_model)


def test_an_adapter_of_another_architecture_lists_what_does_not_fit(generate, model, adapter, tmp_path):
    foreign = {}
    for key, tensor in load_file(adapter).items():
        foreign[key.replace("unet.", "unet.add_embedding.", 1)] = tensor
    with open(adapter, "rb") as file:
        metadata = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))["__metadata__"]
    save_file(foreign, tmp_path / "foreign.safetensors", metadata=metadata)
    generate(["foreign.safetensors", "model family sd1, adapter family sd1", "138 of 138 tensors", "add_embedding", "more"], model, "--adapter", tmp_path / "foreign.safetensors")


def test_a_missing_tensor_is_named(generate, own_model):
    rewritten(own_model / UNET, lambda tensors: tensors.pop("conv_in.bias"))
    generate(["1 missing", "conv_in.bias"], own_model)


def test_an_unknown_tensor_is_named_with_the_nearest(generate, own_model):
    rewritten(own_model / UNET, lambda tensors: tensors.update({"conv_on.bias": tensors.pop("conv_in.bias")}))
    generate(["unknown", "conv_on.bias", "nearest: conv_in.bias"], own_model)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(generate, own_model):
    rewritten(own_model / UNET, lambda tensors: tensors.update({"conv_in.bias": torch.zeros(15)}))
    generate(["conv_in.bias", "15", "16"], own_model)


def test_weights_with_nan_stop_unless_allowed(generate, own_model, sara, tmp_path):
    rewritten(own_model / UNET, lambda tensors: tensors["conv_in.bias"].fill_(float("nan")))
    generate(["conv_in.bias", "16", "--allow-nonfinite"], own_model)
    done = sara("generate", "--model", own_model, "--prompt", "x", "--steps", "1", "--output", tmp_path / "out", "--allow-nonfinite")
    assert done.returncode == 0, done.stderr


def test_an_adapter_of_another_base_needs_force(generate, own_model, adapter, sara, tmp_path):
    rewritten(own_model / UNET, lambda tensors: [tensor.add_(1e-3) for tensor in tensors.values()])
    generate(["another base", "hash", "force"], own_model, "--adapter", adapter)
    done = sara("generate", "--model", own_model, "--prompt", "x", "--steps", "1", "--output", tmp_path / "out", "--adapter", adapter, "--force")
    assert done.returncode == 0, done.stderr


def sharded(model, name):
    index = {"metadata": {}, "weight_map": {key: name for key in load_file(model / UNET)}}
    (model / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    (model / UNET).rename(model / "unet" / "kept.safetensors")


def test_a_missing_shard_is_named(generate, own_model):
    sharded(own_model, "diffusion_pytorch_model-00001-of-00001.safetensors")
    generate(["index.json", "00001-of-00001", "missing"], own_model)


def test_a_shard_outside_the_model_folder_is_refused(generate, own_model):
    sharded(own_model, "../../kept.safetensors")
    generate(["index.json", "../../kept.safetensors"], own_model)


def test_a_model_that_does_not_exist_is_named(generate, tmp_path):
    generate("nothing_here", tmp_path / "nothing_here")


def test_a_folder_without_an_index_is_no_model(generate, tmp_path):
    (tmp_path / "empty").mkdir()
    generate("model_index.json", tmp_path / "empty")


def test_an_adapter_that_does_not_exist_is_an_error(generate, model, tmp_path):
    generate("no.safetensors", model, "--adapter", tmp_path / "no.safetensors", code=4)


def test_a_scale_that_is_no_number_is_refused(generate, model, adapter):
    generate(["scale", "strong"], model, "--adapter", f"{adapter}:strong", code=2)


@pytest.mark.parametrize("scale", ["nan", "inf", "1e999", ""])
def test_a_scale_must_be_finite(generate, model, adapter, scale):
    generate("scale", model, "--adapter", f"{adapter}:{scale}", code=2)


def test_a_weight_file_is_no_adapter(generate, model):
    generate(["not a sara adapter"], model, "--adapter", model / UNET)


def test_cuda_is_not_replaced_quietly(generate, model):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    generate(["CUDA", "--device cpu"], model, "--device", "cuda", code=2)
