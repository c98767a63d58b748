# SPDX-License-Identifier: Apache-2.0
"""`sara merge --as lycoris | peft`: what other programs read adds up to what sara merges."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

UNET = "unet/diffusion_pytorch_model.safetensors"


def lycoris_names(weights):
    """Name in a LyCORIS file -> name in the UNet, by the rule that its readers use: module path with underscores."""
    names = {}
    for key in weights:
        module, kind = key.rsplit(".", 1)
        norm = weights[f"{module}.weight"].dim() == 1
        suffix = {"weight": "w_norm" if norm else "diff", "bias": "b_norm" if norm else "diff_b"}[kind]
        names[f"lora_unet_{module.replace('.', '_')}.{suffix}"] = key
    return names


@pytest.fixture(scope="module")
def exported(sara, model, adapter, tmp_path_factory):
    path = tmp_path_factory.mktemp("lycoris") / "style.safetensors"
    done = sara("merge", "--model", model, "--adapter", f"{adapter}:0.5", "--as", "lycoris", "--output", path)
    assert done.returncode == 0, done.stderr
    return path


def test_lycoris_differences_add_up_to_the_merged_model(sara, model, adapter, exported, tmp_path):
    assert sara("merge", "--model", model, "--adapter", f"{adapter}:0.5", "--output", tmp_path / "merged").returncode == 0
    base, merged, found = load_file(model / UNET), load_file(tmp_path / "merged" / UNET), load_file(exported)
    names = lycoris_names(base)
    assert set(found) <= set(names) and len(found) > 10
    changed = {key for key in base if not torch.equal(base[key], merged[key])}
    assert changed <= {names[name] for name in found}
    for name, difference in found.items():
        key = names[name]
        assert difference.dtype == torch.float32 and difference.shape == base[key].shape
        torch.testing.assert_close(base[key] + difference, merged[key], rtol=2e-7, atol=1e-9)


def test_every_module_of_a_lycoris_file_has_the_tensor_its_readers_look_for(exported):
    modules = {}
    for name in load_file(exported):
        module, kind = name.rsplit(".", 1)
        modules.setdefault(module, set()).add(kind)
    assert all(kinds <= {"diff", "diff_b"} and "diff" in kinds or kinds <= {"w_norm", "b_norm"} and "w_norm" in kinds for kinds in modules.values())
    with safe_open(exported, "pt") as file:
        metadata = file.metadata()
    assert metadata["ss_network_module"] == "lycoris.kohya" and json.loads(metadata["ss_network_args"]) == {"algo": "full"}
    assert metadata["ss_base_model_version"] == "sd_v1"


def test_a_lycoris_file_in_half_precision(sara, model, adapter, exported, tmp_path):
    half = tmp_path / "half.safetensors"
    words = ["merge", "--model", model, "--adapter", f"{adapter}:0.5", "--as", "lycoris", "--output", half]
    assert sara(*words, "--adapter-dtype", "fp16").returncode == 0
    whole = load_file(exported)
    assert all(torch.equal(tensor, whole[name].half()) for name, tensor in load_file(half).items())


def trained(sara, model, pictures, output, *words):
    done = sara(
        *("train", "--model", model, "--data", pictures, "--output", output, "--lr", "1e-2", "--steps", "2", "--batch-size", "1"),
        *words,
    )
    assert done.returncode == 0, done.stderr
    return output / "adapter.safetensors"


def test_peft_loads_the_export_and_computes_the_same(sara, model, pictures, tmp_path):
    peft, diffusers = pytest.importorskip("peft"), pytest.importorskip("diffusers")
    adapter = trained(sara, model, pictures, tmp_path / "run", "--budget", "5%", "--include", "to_[qkv].weight", "ff.net.2.weight", "time_embedding.*weight")
    folder = tmp_path / "peft"
    done = sara("merge", "--model", model, "--adapter", f"{adapter}:0.5", "--as", "peft", "--output", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert sara("merge", "--model", model, "--adapter", f"{adapter}:0.5", "--output", tmp_path / "merged").returncode == 0

    load = diffusers.UNet2DConditionModel.from_pretrained
    base, merged = load(model / "unet").eval(), load(tmp_path / "merged" / "unet").eval()
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([500]), torch.randn(1, 20, 32, generator=generator))
    with torch.no_grad():
        before, wanted = base(*inputs).sample, merged(*inputs).sample
        adapted = peft.PeftModel.from_pretrained(base, folder).eval()
        got = adapted(*inputs).sample
    assert (before - wanted).abs().max() > 1e-4
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
    layers = [module for module in adapted.modules() if hasattr(module, "shira_indices")]
    assert len(layers) == json.loads(done.stdout)["layers"] > 5
    assert sum(layer.shira_weight["default"].numel() for layer in layers) == json.loads(done.stdout)["values"]


def test_peft_refuses_what_shira_cannot_hold(refused, sara, model, pictures, adapter, tmp_path):
    words = ["merge", "--model", model, "--as", "peft", "--output", tmp_path / "peft", "--adapter"]
    refused(2, ["linear layers alone", "convolutions", "--as lycoris"], *words, adapter)
    dense = trained(sara, model, pictures, tmp_path / "run", "--budget", "45%", "--include", "to_q.weight", "time_embedding.linear_2.weight")
    refused(2, ["r (in + out)", "densest mask needs r = "], *words, dense)
    assert not (tmp_path / "peft").exists()


def test_an_adapter_of_values_is_exported_as_differences(sara, model, adapter, exported, tmp_path):
    assert sara("merge", "--model", model, "--adapter", f"{adapter}:0.5", "--output", tmp_path / "merged").returncode == 0
    values = tmp_path / "values.safetensors"
    assert sara("extract", "--base", model, "--tuned", tmp_path / "merged", "--output", values).returncode == 0
    again = tmp_path / "again.safetensors"
    assert sara("merge", "--model", model, "--adapter", values, "--as", "lycoris", "--output", again).returncode == 0
    first, second = load_file(exported), load_file(again)
    for name in first:
        torch.testing.assert_close(second.get(name, torch.zeros_like(first[name])), first[name], rtol=1e-3, atol=1e-8)


def test_exports_want_their_base_and_their_kind_of_output(refused, own_model, adapter, tmp_path):
    from safetensors.torch import save_file

    save_file({key: tensor + 1e-3 for key, tensor in load_file(own_model / UNET).items()}, own_model / UNET, metadata={"format": "pt"})
    words = ["merge", "--model", own_model, "--adapter", adapter]
    refused(3, ["another base", "force"], *words, "--as", "lycoris", "--output", tmp_path / "x.safetensors")
    refused(3, ["another base", "force"], *words, "--as", "peft", "--output", tmp_path / "x")
    refused(2, [".safetensors"], *words, "--as", "lycoris", "--output", tmp_path / "x")
    refused(2, ["folder"], *words, "--as", "peft", "--output", tmp_path / "x.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]
