# SPDX-License-Identifier: Apache-2.0
"""`sara convert`, and a single file as --model of every verb."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="session")
def file(sara, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("single") / "tiny.safetensors"
    done = sara("convert", "--model", model, "--output", path)
    assert done.returncode == 0, done.stderr
    return path


def convert(sara, *words):
    done = sara("convert", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tensors_of(folder):
    """Every tensor of a model folder by component and name."""
    found = {}
    for part in ("unet", "vae", "text_encoder"):
        for path in (folder / part).glob("*.safetensors"):
            for key, value in load_file(path).items():
                assert (part, key) not in found
                found[part, key] = value
    return found


def same(ours, theirs):
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], value) and ours[key].dtype == value.dtype for key, value in theirs.items())


def test_the_file_holds_all_weights_under_single_file_names(file, model):
    tensors = load_file(file)
    assert "model.diffusion_model.input_blocks.0.0.weight" in tensors and "first_stage_model.decoder.conv_in.weight" in tensors
    assert tensors["first_stage_model.encoder.mid.attn_1.q.weight"].shape == (16, 16, 1, 1)
    assert sum(value.numel() for value in tensors.values()) == sum(value.numel() for value in tensors_of(model).values())


def test_writing_twice_gives_the_same_bytes(sara, model, file, tmp_path):
    shutil.copytree(model, tmp_path / "copy")
    convert(sara, "--model", tmp_path / "copy", "--output", tmp_path / "tiny.safetensors")
    assert (tmp_path / "tiny.safetensors").read_bytes() == file.read_bytes()


def test_shards_and_variant_are_written_and_read(sara, model, file, tmp_path):
    report = convert(sara, "--model", file, "--output", tmp_path / "out", "--dtype", "fp16", "--variant", "fp16", "--max-shard-size", "100KB")
    index = json.loads((tmp_path / "out/unet/diffusion_pytorch_model.safetensors.index.fp16.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 1 and shards[0] == f"diffusion_pytorch_model.fp16-00001-of-{len(shards):05}.safetensors"
    sizes = [(tmp_path / "out/unet" / shard).stat().st_size for shard in shards]
    largest = max(value.numel() * 2 for value in load_file(model / UNET).values())
    assert max(sizes) < max(100_000, largest) + 20_000
    assert index["metadata"]["total_size"] == sum(2 * value.numel() for value in load_file(model / UNET).values())
    same(tensors_of(tmp_path / "out"), {key: value.half() for key, value in tensors_of(model).items()})
    assert report["bytes"] == sum(2 * value.numel() for value in tensors_of(model).values())
    back = tmp_path / "back.safetensors"
    convert(sara, "--model", tmp_path / "out", "--output", back)
    assert {value.dtype for value in load_file(back).values()} == {torch.float16}
    whole = convert(sara, "--model", tmp_path / "out", "--output", tmp_path / "whole", "--dtype", "fp32")
    assert whole["tensors"] == report["tensors"] and (tmp_path / "whole/vae/diffusion_pytorch_model.safetensors").exists()


def test_sharded_folders_are_read_by_diffusers(sara, file, tmp_path):
    from diffusers import UNet2DConditionModel

    convert(sara, "--model", file, "--output", tmp_path / "out", "--max-shard-size", "100KB")
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "out", subfolder="unet")
    key = "conv_in.weight"
    assert torch.equal(unet.state_dict()[key], load_file(file)["model.diffusion_model.input_blocks.0.0.weight"])


def test_file_to_file_changes_the_type_and_carries_the_rest(sara, file, tmp_path):
    more = dict(load_file(file), alphas_cumprod=torch.rand(10), global_step=torch.tensor([7]))
    save_file(more, tmp_path / "in.safetensors", metadata={"title": "mine"})
    convert(sara, "--model", tmp_path / "in.safetensors", "--output", tmp_path / "out.safetensors", "--dtype", "bf16")
    out = load_file(tmp_path / "out.safetensors")
    assert set(out) == set(more) and out["global_step"].dtype == torch.int64
    assert all(torch.equal(out[key], value.bfloat16()) for key, value in more.items() if value.is_floating_point())
    with safe_open(tmp_path / "out.safetensors", "pt") as opened:
        assert opened.metadata()["title"] == "mine"


def test_what_has_no_place_is_left_out_and_told(sara, own_model, tmp_path):
    index = json.loads((own_model / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (own_model / "model_index.json").write_text(json.dumps(index))
    (own_model / "safety_checker").mkdir()
    (own_model / "safety_checker/config.json").write_text("{}")
    save_file({"w": torch.zeros(2)}, own_model / "safety_checker/model.safetensors")
    done = sara("convert", "--model", own_model, "--output", tmp_path / "x.safetensors")
    assert done.returncode == 0 and "left out" in done.stderr and "safety_checker" in done.stderr
    convert(sara, "--model", tmp_path / "x.safetensors", "--output", tmp_path / "back")
    assert json.loads((tmp_path / "back/model_index.json").read_text())["safety_checker"] == [None, None]
    assert not (tmp_path / "back/safety_checker").exists()


def test_refusals(refused, sara, model, file, own_model, tmp_path):
    out = tmp_path / "x.safetensors"
    refused(2, "--output", "convert", "--model", model)
    refused(2, "variant", "convert", "--model", model, "--output", out, "--variant", "fp16")
    refused(2, "max-shard-size", "convert", "--model", model, "--output", out, "--max-shard-size", "1GB")
    refused(2, "max-shard-size", "convert", "--model", file, "--output", tmp_path / "y", "--max-shard-size", "big")
    refused(2, ["pickled", ".safetensors"], "convert", "--model", model, "--output", tmp_path / "x.ckpt")
    refused(2, "holds it", "convert", "--model", model, "--output", model / "inside.safetensors")
    refused(2, "tokenizer", "convert", "--model", model, "--tokenizer", model, "--output", out)
    refused(4, "overwrite", "convert", "--model", model, "--output", file)
    (tmp_path / "old.ckpt").write_bytes(b"\x80\x04.")
    refused(3, ["pickle", "safetensors"], "convert", "--model", tmp_path / "old.ckpt", "--output", out)
    save_file({"a.b": torch.zeros(1)}, tmp_path / "other.safetensors")
    refused(3, ["other.safetensors", "a.b"], "convert", "--model", tmp_path / "other.safetensors", "--output", out)
    big = load_file(own_model / UNET)
    big["conv_in.bias"][0] = 1e6
    save_file(big, own_model / UNET)
    refused(2, ["conv_in.bias", "fp16"], "convert", "--model", own_model, "--output", out, "--dtype", "fp16")
    assert not out.exists() and not (tmp_path / "y").exists()


def test_other_kinds_of_model_are_refused_by_name(refused, file, tmp_path):
    tensors, first = load_file(file), "model.diffusion_model.input_blocks.0.0.weight"
    shape = tensors[first].shape
    out = tmp_path / "out"
    for channels, name in ((9, "inpainting"), (8, "image-editing")):
        save_file(dict(tensors, **{first: torch.zeros(shape[0], channels, 3, 3)}), tmp_path / "x.safetensors")
        refused(3, name, "convert", "--model", tmp_path / "x.safetensors", "--output", out)
    save_file(dict(tensors, **{"conditioner.embedders.0.model.ln_final.bias": torch.zeros(4)}), tmp_path / "x.safetensors")
    refused(3, "refiner", "convert", "--model", tmp_path / "x.safetensors", "--output", out)


def test_a_file_without_a_tokenizer_asks_for_one(refused, file, model, tmp_path):
    save_file(load_file(file), tmp_path / "plain.safetensors")
    plain = tmp_path / "plain.safetensors"
    refused(3, "--tokenizer FOLDER", "convert", "--model", plain, "--output", tmp_path / "out")
    refused(3, ["holds no tokenizer", "model folder"], "convert", "--model", plain, "--tokenizer", tmp_path, "--output", tmp_path / "out")


def test_an_sd2_file_asks_what_it_predicts(sara, refused, tmp_path):
    from diffusers_models import save_sd

    folder, plain = save_sd(tmp_path / "two", tmp_path / "scratch", second=True), tmp_path / "plain.safetensors"
    convert(sara, "--model", folder, "--output", tmp_path / "two.safetensors")
    save_file(load_file(tmp_path / "two.safetensors"), plain)
    refused(3, "--prediction-type", "convert", "--model", plain, "--tokenizer", folder, "--output", tmp_path / "out")
    assert "prediction type" in json.loads(sara("inspect", plain, "--json").stdout)["missing"]
    convert(sara, "--model", plain, "--tokenizer", folder, "--prediction-type", "v_prediction", "--output", tmp_path / "out")
    assert json.loads((tmp_path / "out/scheduler/scheduler_config.json").read_text())["prediction_type"] == "v_prediction"
    save_file(dict(load_file(plain), global_step=torch.tensor(875000)), plain)
    convert(sara, "--model", plain, "--tokenizer", folder, "--output", tmp_path / "base")
    assert json.loads((tmp_path / "base/scheduler/scheduler_config.json").read_text())["prediction_type"] == "epsilon"


def test_metadata_cannot_write_outside_the_folder(refused, file, tmp_path):
    for name in ("../evil.txt", "/tmp/evil.txt", "a/../../evil", ".hidden", "a/b/c"):
        save_file(load_file(file), tmp_path / "bad.safetensors", metadata={"sara.files": json.dumps({name: "x"})})
        refused(3, "malformed", "convert", "--model", tmp_path / "bad.safetensors", "--output", tmp_path / "out")


def test_training_on_file_and_folder_is_the_same_and_adapters_cross(sara, model, file, pictures, adapter, tmp_path):
    flags = ["--data", pictures, "--budget", "5%", "--lr", "1e-2", "--steps", "4", "--batch-size", "2", "--caption-prefix", "tiny style, "]
    done = sara("train", "--model", file, *flags, "--output", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    same(load_file(tmp_path / "run/adapter.safetensors"), load_file(adapter))
    pictures_of = {}
    for name, base in (("folder", model), ("file", file)):
        for kind, style in (("one", adapter), ("other", tmp_path / "run/adapter.safetensors")):
            output = tmp_path / f"{name}-{kind}"
            done = sara("generate", "--model", base, "--adapter", style, "--prompt", "a red square", "--steps", "2", "--output", output)
            assert done.returncode == 0, done.stderr
            pictures_of[name, kind] = (output / "0000.png").read_bytes()
    assert len(set(pictures_of.values())) == 1
    done = sara("verify", adapter, "--model", file)
    assert done.returncode == 0, done.stderr


def test_merging_writes_every_layout_with_the_same_weights(sara, model, file, adapter, tmp_path):
    for name, base in (("folder", model), ("file", file)):
        for output in (tmp_path / name, tmp_path / f"{name}.safetensors"):
            done = sara("merge", "--model", base, "--adapter", f"{adapter}:0.5", "--output", output, "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["changed_weights"] > 0
    same(tensors_of(tmp_path / "file"), tensors_of(tmp_path / "folder"))
    same(load_file(tmp_path / "file.safetensors"), load_file(tmp_path / "folder.safetensors"))
    changed, base = load_file(tmp_path / "file.safetensors"), load_file(file)
    assert any(not torch.equal(changed[key], value) for key, value in base.items())
    convert(sara, "--model", tmp_path / "file.safetensors", "--output", tmp_path / "again")
    same(tensors_of(tmp_path / "again"), tensors_of(tmp_path / "folder"))


def test_extract_reads_files(sara, model, file, adapter, tmp_path):
    sara("merge", "--model", file, "--adapter", adapter, "--output", tmp_path / "tuned.safetensors")
    found = {}
    for name, base in (("folder", model), ("file", file)):
        done = sara("extract", "--base", base, "--tuned", tmp_path / "tuned.safetensors", "--output", tmp_path / f"{name}.safetensors")
        assert done.returncode == 0, done.stderr
        found[name] = load_file(tmp_path / f"{name}.safetensors")
    same(found["folder"], found["file"])


def test_inspect_and_verify_a_file(sara, model, file, tmp_path):
    found = json.loads(sara("inspect", file, "--json").stdout)
    folder = json.loads(sara("inspect", model, "--json").stdout)
    assert (found["kind"], found["layout"], found["family"], found["missing"]) == ("model", "single file", "sd1", [])
    assert (folder["layout"], folder["missing"]) == ("folder", [])
    for part in ("unet", "vae", "text_encoder"):
        for key in ("class", "weights", "tensors", "types"):
            assert found["parts"][part][key] == folder["parts"][part][key]
        assert "mismatch" not in found["parts"][part]
    assert found["resolution"] == folder["resolution"] and found["prediction_type"] == "epsilon"
    assert "layout: single file" in sara("inspect", file).stdout
    save_file(load_file(file), tmp_path / "plain.safetensors")
    assert json.loads(sara("inspect", tmp_path / "plain.safetensors", "--json").stdout)["missing"] == ["tokenizer"]
    done = sara("verify", file)
    assert done.returncode == 0 and "unet: config" in done.stdout


def test_a_damaged_file_is_told_by_its_first_tensors(sara, refused, file, tmp_path):
    tensors = load_file(file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    lost = [key for key in tensors if "output_blocks" in key][:3]
    save_file({key: value for key, value in tensors.items() if key not in lost}, tmp_path / "lost.safetensors", metadata=metadata)
    wrong = dict(tensors, **{"model.diffusion_model.out.0.bias": torch.zeros(3), "model.diffusion_model.extra.weight": torch.zeros(3)})
    save_file(wrong, tmp_path / "mixed.safetensors", metadata=metadata)
    (tmp_path / "half.safetensors").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for words in (["verify"], ["generate", "--prompt", "x", "--output", tmp_path / "g", "--model"], ["convert", "--output", tmp_path / "c", "--model"]):
        refused(3, ["3 missing: up_blocks."], *words, tmp_path / "lost.safetensors")
        refused(3, ["conv_norm_out.bias (expected [16], got [3])", "model.diffusion_model.extra.weight"], *words, tmp_path / "mixed.safetensors")
        refused(3, ["bytes missing", "download"], *words, tmp_path / "half.safetensors")
    found = json.loads(sara("inspect", tmp_path / "lost.safetensors", "--json").stdout)
    assert "3 missing" in found["parts"]["unet"]["mismatch"]
    without = {key: value for key, value in tensors.items() if not key.startswith("first_stage_model.")}
    save_file(without, tmp_path / "part.safetensors", metadata=metadata)
    assert json.loads(sara("inspect", tmp_path / "part.safetensors", "--json").stdout)["missing"] == ["vae"]
    refused(3, "holds no vae", "generate", "--model", tmp_path / "part.safetensors", "--prompt", "x", "--output", tmp_path / "g")


def test_inspect_tells_what_a_folder_lacks(sara, own_model):
    shutil.rmtree(own_model / "vae")
    found = json.loads(sara("inspect", own_model, "--json").stdout)
    assert len(found["missing"]) == 1 and "vae" in found["missing"][0] and "unet" in found["parts"]
