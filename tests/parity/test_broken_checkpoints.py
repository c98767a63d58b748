# SPDX-License-Identifier: Apache-2.0
"""Half-downloaded, mixed and mislabelled checkpoints of the families: `sara inspect` says what is wrong, and whoever needs the model stops
with one line that names the first tensors."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest
import torch
from probe import BUILD
from safetensors import safe_open
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import diffusers_models as models  # noqa: E402
from drawing import sara  # noqa: E402

FAMILIES = {
    "sd2": (lambda folder, scratch: models.save_sd(folder, scratch, second=True), "unet", "model.diffusion_model.output_blocks.", "up_blocks."),
    "sdxl": (models.save_sdxl, "unet", "model.diffusion_model.output_blocks.", "up_blocks."),
    "sd3": (models.save_sd3, "transformer", "model.diffusion_model.joint_blocks.2.", "transformer_blocks.2."),
    "animatediff": (models.save_motion_adapter, "motion_adapter", "up_blocks.3.", "up_blocks.3."),
}


class Checkpoint:
    def __init__(self, family, root):
        writer, self.denoiser, self.file_names, self.folder_names = FAMILIES[family]
        self.family, self.folder, self.file = family, writer(root / "folder", root / "scratch"), root / "whole.safetensors"
        sara("convert", "--model", self.folder, "--output", self.file)
        self.tensors = load_file(self.file)
        with safe_open(self.file, "pt") as file:
            self.metadata = file.metadata()

    def weights(self, folder):
        part = folder if self.family == "animatediff" else folder / self.denoiser
        return part / "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module", params=FAMILIES)
def whole(request, tmp_path_factory):
    return Checkpoint(request.param, tmp_path_factory.mktemp("whole"))


def inspected(path):
    return json.loads(sara("inspect", path, "--json"))


def refusals(path, tmp_path):
    """What the verbs that need a whole model say: one line each, exit 3, nothing left behind."""
    for words in (["verify"], ["convert", "--output", tmp_path / "out", "--model"], ["convert", "--output", tmp_path / "out.safetensors", "--dtype", "bf16", "--model"]):
        if words[0] == "convert" and path.is_file() and words[2].suffix:
            continue  # from file to file everything is carried through
        done = subprocess.run([str(word) for word in [BUILD / "sara", *words, path]], capture_output=True, text=True)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("sara: warning: ")]
        assert done.returncode == 3 and len(lines) == 1 and lines[0].startswith("sara: error: "), done.stderr
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.safetensors").exists()
        yield lines[0]


def test_a_download_that_broke_off(whole, tmp_path):
    half = tmp_path / "half.safetensors"
    half.write_bytes(whole.file.read_bytes()[: whole.file.stat().st_size // 2])
    done = subprocess.run([BUILD / "sara", "inspect", half], capture_output=True, text=True)
    assert done.returncode == 3 and "bytes missing" in done.stderr and done.stderr.count("\n") == 1
    assert all("bytes missing" in line and "half.safetensors" in line for line in refusals(half, tmp_path))


def test_a_shard_that_never_came(whole, tmp_path):
    sara("convert", "--model", whole.file, "--output", tmp_path / "shards", "--max-shard-size", "200KB")
    lost = sorted(whole.weights(tmp_path / "shards").parent.glob("*-00002-of-*.safetensors"))[0]
    lost.unlink()
    assert all(lost.name in line for line in refusals(tmp_path / "shards", tmp_path))
    if whole.family != "animatediff":
        found = inspected(tmp_path / "shards")
        assert len(found["missing"]) == 1 and lost.name in found["missing"][0] and "vae" in found["parts"]


def test_tensors_that_are_missing(whole, tmp_path):
    lost = sorted(name for name in whole.tensors if name.startswith(whole.file_names))[:4]
    save_file({name: value for name, value in whole.tensors.items() if name not in lost}, tmp_path / "lost.safetensors", metadata=whole.metadata)
    found = inspected(tmp_path / "lost.safetensors")
    assert "missing: " + whole.folder_names in found["parts"][whole.denoiser]["mismatch"]
    for line in refusals(tmp_path / "lost.safetensors", tmp_path):
        assert "missing: " + whole.folder_names in line and "Fix: " in line


def test_tensors_of_another_shape_and_name(whole, tmp_path):
    mixed = shutil.copytree(whole.folder, tmp_path / "mixed")
    tensors = load_file(whole.weights(mixed))
    name = sorted(name for name, value in tensors.items() if value.dim() == 1)[0]
    tensors[name], tensors["other.weight"] = torch.zeros(7), torch.zeros(3)
    save_file(tensors, whole.weights(mixed), metadata={"format": "pt"})
    mismatch = inspected(mixed)["parts"][whole.denoiser]["mismatch"]
    for line in [mismatch, *refusals(mixed, tmp_path)]:
        assert f"1 wrongly shaped: {name} (expected " in line and "got [7])" in line and "1 unknown: other.weight" in line


def test_the_config_of_another_model(whole, tmp_path):
    """Mislabelled: one more block, or the norms of 3.5 in a model of 3.0."""
    labelled = shutil.copytree(whole.folder, tmp_path / "labelled")
    path = whole.weights(labelled).parent / "config.json"
    config = json.loads(path.read_text())
    change = {"sd3": dict(num_layers=4), "animatediff": dict(use_motion_mid_block=False)}.get(whole.family, dict(cross_attention_dim=96))
    path.write_text(json.dumps(config | change))
    wanted = {"sd3": "missing: transformer_blocks.", "animatediff": "unknown: mid_block.motion_modules.0."}.get(whole.family, "wrongly shaped: down_blocks.")
    for line in [inspected(labelled)["parts"][whole.denoiser]["mismatch"], *refusals(labelled, tmp_path)]:
        assert wanted in line, line


def test_the_index_of_another_family(whole, tmp_path):
    if whole.family == "animatediff":
        pytest.skip("motion modules have no index")
    labelled = shutil.copytree(whole.folder, tmp_path / "labelled")
    path = labelled / "model_index.json"
    other = "StableDiffusion3Pipeline" if whole.family != "sd3" else "StableDiffusionXLPipeline"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": other}))
    missing = inspected(labelled)["missing"]
    assert ("transformer" if whole.family != "sd3" else "unet") in missing
    done = subprocess.run([BUILD / "sara", "generate", "--model", labelled, "--prompt", "a", "--output", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and ("transformer" if whole.family != "sd3" else "unet") in done.stderr, done.stderr


def test_parts_of_two_families_in_one_file(whole, tmp_path):
    """SDXL's autoencoder in a file of SD 3 and the like: nothing of the wrong shape is taken for the right one."""
    if whole.family == "animatediff":
        pytest.skip("one component alone")
    vae = {name: value for name, value in whole.tensors.items() if not name.startswith("first_stage_model.")}
    models.small_vae(latents=8 if whole.family != "sd3" else 4).save_pretrained(tmp_path / "vae")
    donor = shutil.copytree(whole.folder, tmp_path / "donor")
    shutil.rmtree(donor / "vae")
    shutil.copytree(tmp_path / "vae", donor / "vae")
    sara("convert", "--model", donor, "--output", tmp_path / "donor.safetensors")
    vae |= {name: value for name, value in load_file(tmp_path / "donor.safetensors").items() if name.startswith("first_stage_model.")}
    save_file(vae, tmp_path / "mixed.safetensors", metadata=whole.metadata)
    mismatch = inspected(tmp_path / "mixed.safetensors")["parts"]["vae"]["mismatch"]
    for line in [mismatch, *refusals(tmp_path / "mixed.safetensors", tmp_path)]:
        assert "wrongly shaped: " in line and "decoder.conv_in.weight" in line


def test_parts_that_are_whole_but_of_two_models(whole, tmp_path):
    """Every part fits its own config; together they cannot work."""
    if whole.family == "animatediff":
        pytest.skip("one component alone")
    mixed = shutil.copytree(whole.folder, tmp_path / "mixed")
    path = mixed / "vae"
    shutil.rmtree(path)
    models.small_vae(latents=8 if whole.family != "sd3" else 4).save_pretrained(path)
    channels = "channels of the latents (expected 16, got 4)" if whole.family == "sd3" else "channels of the latents (expected 4, got 8)"
    assert inspected(mixed)["mismatch"] == "the parts do not fit each other: " + channels
    for words in (["verify", mixed], ["generate", "--model", mixed, "--prompt", "a", "--output", tmp_path / "out"]):
        done = subprocess.run([str(word) for word in [BUILD / "sara", *words]], capture_output=True, text=True)
        assert done.returncode == 3 and channels + ". Fix: take all parts from one model" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert "mismatch" not in inspected(whole.folder)


@pytest.mark.parametrize("part, change, what", [
    ("text_encoder", dict(layers=1), None),
    ("text_encoder", dict(width=128), "width of the text embeddings (expected 192, got 256)"),
    ("text_encoder_2", dict(width=128, projection=64), "width of the pooled text (expected 128, got 64)"),
])  # fmt: skip
def test_text_encoders_of_another_model(part, change, what, tmp_path):
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    folder = models.save_sdxl(tmp_path / "model", tmp_path / "scratch")
    kind = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
    kind(models.clip_config(**(dict(width=64) | change))).save_pretrained(folder / part)
    assert inspected(folder).get("mismatch") == (what and "the parts do not fit each other: " + what)
