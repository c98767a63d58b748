# SPDX-License-Identifier: Apache-2.0
"""`sara merge`: only masked weights change, everything else is the base byte for byte."""

import json
import shutil

import numpy
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"


def merged(sara, model, output, *words):
    done = sara("merge", "--model", model, "--output", output, *words)
    assert done.returncode == 0, done.stderr
    return output


def deltas(path):
    """Dense {tensor: (indices, delta)} of an adapter, decoded from its gaps."""
    out = {}
    tensors = load_file(path)
    for key in [name for name in tensors if name.endswith(".gaps")]:
        position, indices = -1, []
        step = 0
        for byte in tensors[key].tolist():
            step += byte
            if byte < 255:
                position += step + 1
                indices.append(position)
                step = 0
        out[key.removesuffix(".gaps")] = (torch.tensor(indices, dtype=torch.long), tensors[key.replace(".gaps", ".delta")])
    return out


def expected_unet(model, adapters):
    base = load_file(model / UNET)
    change = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in base.items()}
    for path, scale in adapters:
        for key, (indices, delta) in deltas(path).items():
            change[key.removeprefix("unet.")].view(-1)[indices] += scale * delta.double()
    kind = {torch.float32: numpy.float32, torch.float16: numpy.float16}  # numpy rounds once; torch takes the way over fp32
    return {key: torch.from_numpy((base[key].double() + change[key]).numpy().astype(kind[base[key].dtype])) for key in base}


@pytest.mark.parametrize("scale", [1.0, 0.5, -2.0])
def test_a_merged_model_is_base_plus_scaled_delta(sara, model, adapter, tmp_path, scale):
    output = merged(sara, model, tmp_path / "merged", "--adapter", f"{adapter}:{scale}")
    got, expected, base = load_file(output / UNET), expected_unet(model, [(adapter, scale)]), load_file(model / UNET)
    assert all(torch.equal(got[key], expected[key]) for key in base)
    assert any(not torch.equal(got[key], base[key]) for key in base)


def test_everything_but_the_changed_file_is_copied_byte_for_byte(sara, own_model, adapter, tmp_path):
    (own_model / "README.md").write_text("notes")
    (own_model / "extra").mkdir()
    (own_model / "extra" / "x.bin").write_bytes(b"\x00\x01")
    output = merged(sara, own_model, tmp_path / "merged", "--adapter", adapter)
    names = sorted(str(path.relative_to(own_model)) for path in own_model.rglob("*"))
    assert names == sorted(str(path.relative_to(output)) for path in output.rglob("*"))
    for name in names:
        if (own_model / name).is_file() and name != UNET:
            assert (own_model / name).read_bytes() == (output / name).read_bytes(), name
    with safe_open(own_model / UNET, "pt") as before, safe_open(output / UNET, "pt") as after:
        assert before.metadata() == after.metadata()


def test_several_adapters_add_up(sara, model, adapter, tmp_path):
    output = merged(sara, model, tmp_path / "merged", "--adapter", f"{adapter}:0.6", "--adapter", f"{adapter}:0.3")
    expected = expected_unet(model, [(adapter, 0.6), (adapter, 0.3)])
    assert all(torch.equal(tensor, expected[key]) for key, tensor in load_file(output / UNET).items())


def test_a_base_in_half_precision_keeps_its_type(sara, own_model, pictures, tmp_path):
    half = {key: value.half() for key, value in load_file(own_model / UNET).items()}
    save_file(half, own_model / UNET, metadata={"format": "pt"})
    train = ["train", "--model", own_model, "--data", pictures, "--output", tmp_path / "run", "--budget", "5%", "--lr", "1e-2", "--steps", "2"]
    done = sara(*train, "--batch-size", "1")
    assert done.returncode == 0, done.stderr
    adapter = tmp_path / "run" / "adapter.safetensors"
    got = load_file(merged(sara, own_model, tmp_path / "merged", "--adapter", adapter) / UNET)
    expected = expected_unet(own_model, [(adapter, 1.0)])
    assert all(tensor.dtype == torch.float16 and torch.equal(tensor, expected[key]) for key, tensor in got.items())


def test_a_merged_model_draws_what_the_adapter_draws(sara, model, adapter, tmp_path):
    output = merged(sara, model, tmp_path / "merged", "--adapter", f"{adapter}:0.7")
    draw = ["generate", "--prompt", "x", "--steps", "3", "--output"]
    assert sara(*draw, tmp_path / "a", "--model", output).returncode == 0
    assert sara(*draw, tmp_path / "b", "--model", model, "--adapter", f"{adapter}:0.7").returncode == 0
    assert (tmp_path / "a" / "0000.png").read_bytes() == (tmp_path / "b" / "0000.png").read_bytes()


def test_shards_stay_shards_and_unread_variants_are_left_out(sara, own_model, adapter, tmp_path):
    tensors = load_file(own_model / UNET)
    names = sorted(tensors)
    parts = {1: names[::2], 2: names[1::2]}
    weight_map = {}
    for number, keys in parts.items():
        file = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        save_file({key: tensors[key] for key in keys}, own_model / "unet" / file, metadata={"format": "pt"})
        weight_map.update({key: file for key in keys})
    size = sum(tensor.numel() * 4 for tensor in tensors.values())
    index = own_model / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}))
    (own_model / UNET).rename(own_model / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    done = sara("merge", "--model", own_model, "--output", tmp_path / "merged", "--adapter", adapter)
    assert done.returncode == 0, done.stderr
    assert "diffusion_pytorch_model.fp16.safetensors" in done.stderr
    assert sorted(path.name for path in (tmp_path / "merged" / "unet").iterdir()) == sorted(["config.json", index.name, *set(weight_map.values())])
    got = {}
    for file in set(weight_map.values()):
        got.update(load_file(tmp_path / "merged" / "unet" / file))
    (own_model / "unet" / "diffusion_pytorch_model.fp16.safetensors").rename(own_model / UNET)
    expected = expected_unet(own_model, [(adapter, 1.0)])
    assert sorted(got) == names and all(torch.equal(got[key], expected[key]) for key in names)


def test_adapters_become_one_adapter(sara, model, adapter, tmp_path):
    both = tmp_path / "both.safetensors"
    done = sara("merge", "--as", "adapter", "--adapter", f"{adapter}:0.5", "--adapter", f"{adapter}:0.25", "--output", both)
    assert done.returncode == 0, done.stderr
    one, sum_ = deltas(adapter), deltas(both)
    assert one.keys() == sum_.keys()
    for key in one:
        assert torch.equal(one[key][0], sum_[key][0])
        torch.testing.assert_close(sum_[key][1], one[key][1] * 0.75, rtol=1e-6, atol=0)
    output = merged(sara, model, tmp_path / "merged", "--adapter", both)
    for key, tensor in expected_unet(model, [(adapter, 0.75)]).items():
        torch.testing.assert_close(load_file(output / UNET)[key], tensor, rtol=1e-6, atol=1e-7)


def test_an_adapter_that_holds_weights_adds_up_on_its_base_alone(sara, refused, model, adapter, tmp_path):
    weights, output = tmp_path / "weights.safetensors", tmp_path / "sum.safetensors"
    tuned = merged(sara, model, tmp_path / "tuned", "--adapter", adapter)
    assert sara("extract", "--base", model, "--tuned", tuned, "--output", weights).returncode == 0
    with safe_open(weights, "pt") as file:
        assert any(key.endswith(".value") for key in file.keys())
    words = ["merge", "--as", "adapter", "--adapter", weights, "--output", output]
    refused(3, ["weights.safetensors", "holds weights", "--model"], *words)
    refused(2, ["--model", "no effect"], "merge", "--as", "adapter", "--adapter", adapter, "--output", output, "--model", model)
    assert not output.exists()

    assert sara(*words, "--model", model).returncode == 0
    base, after = load_file(model / UNET), load_file(tuned / UNET)
    for key, (indices, delta) in deltas(output).items():
        name = key.removeprefix("unet.")
        change = (after[name].double() - base[name].double()).view(-1)
        assert torch.equal(delta, change[indices].float())
        assert int((change != 0).sum()) == len(indices)
    assert sara("verify", output, "--model", model).returncode == 0

    words[words.index(weights)] = f"{weights}:0.5"
    assert sara(*words, "--model", model, "--adapter", f"{adapter}:0.25", "--overwrite").returncode == 0
    expected = expected_unet(model, [(adapter, 0.75)])
    for key, tensor in load_file(merged(sara, model, tmp_path / "merged", "--adapter", output) / UNET).items():
        torch.testing.assert_close(tensor, expected[key], rtol=1e-5, atol=1e-6)


def test_an_existing_output_is_kept_unless_overwrite(sara, refused, model, adapter, tmp_path):
    output = tmp_path / "merged"
    output.mkdir()
    (output / "mine.txt").write_text("keep")
    words = ["merge", "--model", model, "--adapter", adapter, "--output", output]
    refused(4, ["merged", "--overwrite"], *words)
    assert [path.name for path in output.iterdir()] == ["mine.txt"]
    assert sara(*words, "--overwrite").returncode == 0
    assert (output / UNET).exists() and not (output / "mine.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged"]


def test_a_merge_that_fails_leaves_nothing(refused, own_model, adapter, tmp_path):
    save_file({key: value + 1e-3 for key, value in load_file(own_model / UNET).items()}, own_model / UNET)
    refused(3, ["another base", "force"], "merge", "--model", own_model, "--adapter", adapter, "--output", tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


@pytest.mark.parametrize(
    "words, code, phrases",
    [
        (["--output", "x"], 2, ["--adapter", "missing"]),
        (["--adapter", "{adapter}"], 2, ["--output", "missing"]),
        (["--adapter", "{adapter}", "--as", "peft", "--output", "{tmp}/m.safetensors"], 2, ["--as adapter"]),
        (["--adapter", "{adapter}", "--output", "{model}/inside"], 2, ["model's folder"]),
        (["--adapter", "{tmp}/no.safetensors", "--output", "{tmp}/m"], 4, ["no.safetensors"]),
        (["--adapter", "{adapter}:x", "--output", "{tmp}/m"], 2, ["scale"]),
        (["--adapter", "{adapter}:1e42", "--output", "{tmp}/m"], 2, ["scale", "overflow"]),
        (["--adapter", "{adapter}", "--output", "{file}/m"], 4, ["file"]),
    ],
)
def test_a_bad_merge_is_refused(refused, model, adapter, tmp_path, words, code, phrases):
    (tmp_path / "file").write_text("")
    names = dict(adapter=adapter, model=model, tmp=tmp_path, file=tmp_path / "file")
    refused(code, phrases, "merge", "--model", model, *[word.format(**names) for word in words])


@pytest.mark.parametrize("form", ["adapter", "lycoris"])
def test_a_scale_that_leaves_the_range_of_the_file_writes_nothing(refused, model, adapter, tmp_path, form):
    base = ["--model", model] if form == "lycoris" else []
    refused(2, ["adapter_dtype", "range of fp32", "smaller scales"], "merge", *base, "--adapter", f"{adapter}:1e45", "--as", form, "--output", tmp_path / "sum.safetensors")
    assert not (tmp_path / "sum.safetensors").exists()


def test_links_into_a_download_cache_become_files(sara, own_model, adapter, tmp_path):
    cache = tmp_path / "models--tiny"
    snapshot = cache / "snapshots" / "abc"
    shutil.copytree(own_model, snapshot)
    (cache / "blobs").mkdir()
    for path in [path for path in snapshot.rglob("*") if path.is_file()]:
        blob = cache / "blobs" / str(path.relative_to(snapshot)).replace("/", "_")
        path.rename(blob)
        path.symlink_to(blob)
    output = merged(sara, snapshot, tmp_path / "merged", "--adapter", adapter)
    assert not any(path.is_symlink() for path in output.rglob("*"))
    assert (output / "unet" / "config.json").read_bytes() == (own_model / "unet" / "config.json").read_bytes()


def test_an_adapter_trained_in_half_precision_fits_its_base_in_every_precision(sara, model, pictures, adapter, tmp_path):
    train = ["train", "--model", model, "--data", pictures, "--output", tmp_path / "run", "--budget", "5%", "--lr", "1e-2", "--steps", "2"]
    done = sara(*train, "--batch-size", "1", "--precision", "bf16")
    assert done.returncode == 0, done.stderr
    half = tmp_path / "run" / "adapter.safetensors"
    for number, precision in enumerate(["fp32", "bf16"]):
        draw = ["generate", "--model", model, "--prompt", "x", "--steps", "1", "--adapter", half, "--precision", precision]
        done = sara(*draw, "--output", tmp_path / str(number))
        assert done.returncode == 0, done.stderr
    output = merged(sara, model, tmp_path / "merged", "--adapter", half, "--adapter", adapter)
    expected = expected_unet(model, [(half, 1.0), (adapter, 1.0)])
    assert all(torch.equal(tensor, expected[key]) for key, tensor in load_file(output / UNET).items())


def test_adapters_of_different_bases_do_not_add_up(sara, refused, own_model, pictures, adapter, tmp_path):
    save_file({key: value + 1e-3 for key, value in load_file(own_model / UNET).items()}, own_model / UNET)
    train = ["train", "--model", own_model, "--data", pictures, "--output", tmp_path / "run", "--budget", "5%", "--lr", "1e-2", "--steps", "1"]
    assert sara(*train, "--batch-size", "1").returncode == 0
    other = tmp_path / "run" / "adapter.safetensors"
    words = ["merge", "--as", "adapter", "--adapter", adapter, "--adapter", other, "--output", tmp_path / "sum.safetensors"]
    refused(3, ["another base", "--force"], *words)
    assert not (tmp_path / "sum.safetensors").exists()
    assert sara(*words, "--force").returncode == 0
