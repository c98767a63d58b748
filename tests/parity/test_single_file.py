# SPDX-License-Identifier: Apache-2.0
"""Single files against diffusers' own converters and pipelines; a folder comes back from one bit for bit."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import torch
from probe import BUILD, ROOT
from safetensors import safe_open
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(ROOT / "tests" / "support"))
import diffusers_models as models  # noqa: E402

MINI = ROOT / "models" / "mini-sd"
WRITERS = {
    "sd1": models.save_sd,
    "sd2": lambda folder, scratch: models.save_sd(folder, scratch, second=True),
    "sdxl": models.save_sdxl,
    "sd3": models.save_sd3,
    "sd3.0 without T5": lambda folder, scratch: models.save_sd3(folder, scratch, None, (), with_t5=False),
    "animatediff": models.save_motion_adapter,
    "animatediff v1": lambda folder, scratch: models.save_motion_adapter(folder, scratch, middle=False),
}


def sara(*words, code=0):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SARA_")}
    done = subprocess.run([BUILD / "sara", *map(str, words)], capture_output=True, text=True, timeout=300, env=dict(environment, OMP_NUM_THREADS="1"))
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    made = {}

    def get(family):
        if family == "mini-sd":
            return MINI
        if family not in made:
            made[family] = WRITERS[family](root / family, root / "scratch")
        return made[family]

    return get


@pytest.fixture(scope="module")
def files(folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("files")

    def get(family):
        path = root / f"{family}.safetensors"
        if not path.exists():
            sara("convert", "--model", folders(family), "--output", path)
        return path

    return get


def plain(file, output):
    """The file as others write it: tensors alone."""
    save_file(load_file(file), output)
    return output


def tree(folder):
    return {str(path.relative_to(folder)): path for path in pathlib.Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize("family", ["mini-sd", *WRITERS])
def test_folder_to_file_to_folder_is_bit_identical(family, folders, files, tmp_path):
    back = tmp_path / "back"
    sara("convert", "--model", files(family), "--output", back)
    before, after = tree(folders(family)), tree(back)
    root_files = {name for name in before if "/" not in name and name not in ("model_index.json", "config.json") and not name.endswith(".safetensors")}
    assert set(after) == set(before) - root_files
    for name, path in after.items():
        if name.endswith(".safetensors"):
            ours, theirs = load_file(path), load_file(before[name])
            assert set(ours) == set(theirs), name
            for key, value in theirs.items():
                assert ours[key].dtype == value.dtype and torch.equal(ours[key], value), (name, key)
        else:
            assert path.read_bytes() == before[name].read_bytes(), name


def state(folder, component):
    part = pathlib.Path(folder) / component
    files = sorted(part.glob("*.safetensors"))
    assert len(files) == 1
    return load_file(files[0])


def equal(ours, theirs):
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


@pytest.mark.parametrize("family", ["mini-sd", "sd1", "sd2", "sdxl"])
def test_diffusers_converts_unet_and_vae_to_the_same_tensors(family, folders, files):
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    checkpoint, folder = load_file(files(family)), folders(family)
    for name, convert in (("unet", convert_ldm_unet_checkpoint), ("vae", convert_ldm_vae_checkpoint)):
        config = json.loads((folder / name / "config.json").read_text())
        equal(convert(dict(checkpoint), config), state(folder, name))


@pytest.mark.parametrize("family, encoder, prefix", [("sd2", "text_encoder", "cond_stage_model.model."), ("sdxl", "text_encoder_2", "conditioner.embedders.1.model.")])
def test_diffusers_converts_open_clip_to_the_same_tensors(family, encoder, prefix, folders, files):
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
    from transformers import CLIPTextModelWithProjection

    reader = CLIPTextModelWithProjection.from_pretrained(folders(family) / encoder)
    converted = convert_open_clip_checkpoint(reader, load_file(files(family)), prefix)
    canonical = {key if key.startswith("text_") else "text_model." + key: value for key, value in state(folders(family), encoder).items()}
    equal(converted, canonical)


@pytest.mark.parametrize("norm, dual", [("rms_norm", (0,)), (None, ())])
def test_diffusers_converts_sd3_to_the_same_tensors(norm, dual, folders, files, tmp_path):
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint, convert_sd3_t5_checkpoint_to_diffusers, convert_sd3_transformer_checkpoint_to_diffusers

    folder, file = tmp_path / "sd3", tmp_path / "sd3.safetensors"
    models.save_sd3(folder, tmp_path / "scratch", norm, dual)
    sara("convert", "--model", folder, "--output", file)
    checkpoint = load_file(file)
    inside = {key: value for key, value in checkpoint.items() if key.startswith("model.diffusion_model.")}
    equal(convert_sd3_transformer_checkpoint_to_diffusers(inside), state(folder, "transformer"))
    vae = {key: value for key, value in checkpoint.items() if key.startswith("first_stage_model.")}
    equal(convert_ldm_vae_checkpoint(vae, json.loads((folder / "vae" / "config.json").read_text())), state(folder, "vae"))
    equal(convert_sd3_t5_checkpoint_to_diffusers(checkpoint), state(folder, "text_encoder_3"))


def test_diffusers_converts_a_motion_module_to_the_same_tensors(folders, files):
    from diffusers.loaders.single_file_utils import convert_animatediff_checkpoint_to_diffusers

    checkpoint, folder = load_file(files("animatediff")), folders("animatediff")
    theirs = {key: value for key, value in state(folder, ".").items() if not key.endswith("pos_embed.pe")}
    equal(convert_animatediff_checkpoint_to_diffusers(checkpoint), theirs)
    tables = [key for key in checkpoint if key.endswith("pos_encoder.pe")]
    assert len(tables) == 2 * len([key for key in state(folder, ".") if key.endswith("pos_embed.pe")]) > 0


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3", "animatediff"])
def test_a_file_without_metadata_is_read_by_its_shapes(family, folders, files, tmp_path):
    """The config that is read off the shapes says all that the tensors say, and the tensors are the folder's."""
    file, back = plain(files(family), tmp_path / "plain.safetensors"), tmp_path / "back"
    extra = [] if family == "animatediff" else ["--tokenizer", folders(family)]
    extra += ["--prediction-type", "epsilon"] if family == "sd2" else []
    sara("convert", "--model", file, "--output", back, *extra)
    folder = folders(family)
    parts = {"animatediff": ["."], "sd3": ["transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"]}.get(family, ["unet", "vae", "text_encoder"])
    for part in parts + (["text_encoder_2"] if family == "sdxl" else []):
        ours, theirs = state(back, part), state(folder, part)
        bare = {key.removeprefix("text_model."): value for key, value in theirs.items()}
        equal({key.removeprefix("text_model."): value for key, value in ours.items()}, bare)
        wanted, got = (json.loads((root / part / "config.json").read_text()) for root in (folder, back))
        free = {"_diffusers_version", "sample_size", "pad_token_id", "addition_time_embed_dim", "pos_embed_max_size", "_name_or_path"}
        for key, value in got.items():
            if key not in free and wanted.get(key) is not None:
                same = [wanted[key]] if not isinstance(wanted[key], list) else wanted[key]
                assert (value if isinstance(value, list) else [value] * len(same)) == same, (part, key)


PIPELINES = {
    "mini-sd": "StableDiffusionPipeline", "sd1": "StableDiffusionPipeline", "sd2": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline",
    "sd3": "StableDiffusion3Pipeline", "sd3.0 without T5": "StableDiffusion3Pipeline",
}  # fmt: skip


def drawn(pipeline, side):
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return pipeline("a red apple", num_inference_steps=3, generator=generator, output_type="pt", height=side, width=side).images


@pytest.mark.parametrize("family", PIPELINES)
def test_from_single_file_gives_the_same_picture_as_the_folder(family, folders, files):
    import diffusers

    kind = getattr(diffusers, PIPELINES[family])
    more = {"safety_checker": None} if PIPELINES[family] == "StableDiffusionPipeline" else {"text_encoder_3": None, "tokenizer_3": None} if "without" in family else {}
    side = 64 if family == "mini-sd" else 16
    folder = kind.from_pretrained(folders(family), torch_dtype=torch.float32, **more)
    if getattr(folder, "text_encoder_3", None):  # whose tied embedding diffusers 0.42 leaves without memory under transformers 5
        more["text_encoder_3"] = folder.text_encoder_3
    file = kind.from_single_file(str(files(family)), config=str(folders(family)), local_files_only=True, torch_dtype=torch.float32, **more)
    # The weights are equal (tests above); where they lie in memory differs, and with it the last bit of some products.
    torch.testing.assert_close(drawn(file, side), drawn(folder, side), rtol=0, atol=1e-5)


def test_from_single_file_reads_a_motion_module(folders, files):
    from diffusers import MotionAdapter

    read = MotionAdapter.from_single_file(str(files("animatediff")), config=str(folders("animatediff")), local_files_only=True)
    tables = [name for name, _ in read.named_buffers()]
    equal({name: value for name, value in read.state_dict().items() if name not in tables}, {name: value for name, value in state(folders("animatediff"), ".").items() if name not in tables})


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3", "sd3.0 without T5"])
def test_ours_draws_the_same_from_file_plain_file_and_folder(family, folders, files, tmp_path):
    flags = ["--prompt", "a red apple", "--steps", "3", "--width", "16", "--height", "16"]
    tokenizer = folders(family) / "tokenizer" if family in ("sd1", "sd2") else folders(family)
    plain_flags = ["--tokenizer", tokenizer, *(["--prediction-type", "epsilon"] if family == "sd2" else [])]
    sources = {
        "folder": ["--model", folders(family)],
        "file": ["--model", files(family)],
        "plain": ["--model", plain(files(family), tmp_path / "plain.safetensors"), *plain_flags],
    }
    pictures = {}
    for name, source in sources.items():
        sara("generate", *source, *flags, "--output", tmp_path / name)
        pictures[name] = (tmp_path / name / "0000.png").read_bytes()
    assert pictures["file"] == pictures["folder"] and pictures["plain"] == pictures["folder"]


def refusal(*words):
    return sara(*words, code=3)


def without(file, output, *starts):
    """The file as it is published without some parts."""
    save_file({key: value for key, value in load_file(file).items() if not key.startswith(starts)}, output)
    return output


def test_sd3_without_its_text_encoders_says_what_is_missing_and_still_merges(files, tmp_path):
    bare = without(files("sd3"), tmp_path / "bare.safetensors", "text_encoders.")
    draw = ["generate", "--model", bare, "--prompt", "a", "--output", tmp_path / "out"]
    for words in (draw, ["train", "--model", bare, "--data", tmp_path, "--output", tmp_path / "run"]):
        message = refusal(*words)
        assert "holds no text_encoder, text_encoder_2 (expected tensors under text_encoders.clip_l.transformer., " in message
        assert "Fix: use a whole model, such as the file that is published with its CLIP encoders" in message and message.count("\n") == 1
    assert set(json.loads(sara("inspect", bare, "--json"))["missing"]) >= {"text_encoder", "text_encoder_2"}
    assert "transformer: " in sara("verify", bare)
    tuned = load_file(bare)
    tuned["model.diffusion_model.final_layer.linear.bias"] += 1
    save_file(tuned, tmp_path / "tuned.safetensors")
    sara("extract", "--base", bare, "--tuned", tmp_path / "tuned.safetensors", "--output", tmp_path / "adapter.safetensors")
    sara("merge", "--model", bare, "--adapter", tmp_path / "adapter.safetensors", "--output", tmp_path / "merged.safetensors")
    before, after = load_file(bare), load_file(tmp_path / "merged.safetensors")
    assert [key for key in before if not torch.equal(before[key], after[key])] == ["model.diffusion_model.final_layer.linear.bias"]


def test_t5_may_be_absent_from_the_file_or_stored_in_eight_bits(folders, files, tmp_path):
    """A file without T5 means zeros in its place, as a folder without it does."""
    flags = ["--prompt", "a red apple", "--steps", "2", "--width", "16", "--height", "16", "--tokenizer", folders("sd3")]
    bare = without(files("sd3"), tmp_path / "bare.safetensors", "text_encoders.t5xxl.")
    sara("generate", "--model", bare, *flags, "--output", tmp_path / "bare")
    sara("generate", "--model", plain(files("sd3"), tmp_path / "plain.safetensors"), *flags, "--output", tmp_path / "plain")
    tensors = load_file(files("sd3"))
    in_t5 = [key for key in tensors if key.startswith("text_encoders.t5xxl.")]
    save_file(dict(tensors, **{key: tensors[key].to(torch.float8_e4m3fn) for key in in_t5}), tmp_path / "eight.safetensors")
    sara("generate", "--model", tmp_path / "eight.safetensors", *flags, "--output", tmp_path / "eight")
    save_file(dict(tensors, **{key: tensors[key].to(torch.float8_e4m3fn).float() for key in in_t5}), tmp_path / "rounded.safetensors")
    sara("generate", "--model", tmp_path / "rounded.safetensors", *flags, "--output", tmp_path / "rounded")
    pictures = {name: (tmp_path / name / "0000.png").read_bytes() for name in ("bare", "plain", "eight", "rounded")}
    assert pictures["eight"] == pictures["rounded"]
    assert len({pictures["bare"], pictures["plain"], pictures["eight"]}) == 3


@pytest.mark.parametrize("family, wanted", [("sdxl", "tokenizer_2"), ("sd3", "tokenizer_3")])
def test_a_file_without_tokenizers_says_where_to_take_them_from(family, wanted, folders, files, tmp_path):
    draw = ["generate", "--model", plain(files(family), tmp_path / "plain.safetensors"), "--prompt", "a", "--output", tmp_path / "out"]
    assert "holds no tokenizer, as single files of others do not. Fix: add --tokenizer FOLDER (a model folder with tokenizer" in refusal(*draw)
    assert "holds no tokenizer_2 (expected a folder tokenizer_2 with vocab.json and merges.txt)" in refusal(*draw, "--tokenizer", folders(family) / "tokenizer")
    assert wanted == "tokenizer_2" or "holds no tokenizer_3 (expected a folder tokenizer_3 with spiece.model or tokenizer.json)" in refusal(*draw, "--tokenizer", folders("sdxl"))


def test_metadata_of_another_family_is_refused(files, tmp_path):
    with safe_open(files("sd1"), "pt") as file:
        metadata = file.metadata()
    save_file(load_file(files("sdxl")), tmp_path / "mixed.safetensors", metadata=metadata)
    message = refusal("generate", "--model", tmp_path / "mixed.safetensors", "--prompt", "a", "--output", tmp_path / "out")
    assert "its metadata does not fit its tensors (expected StableDiffusionXLPipeline, got " in message


def test_the_layer_that_sd2_leaves_unused_is_left_out(folders, files, tmp_path):
    """Published SD 2.x files hold one layer of OpenCLIP more than the pipeline uses, and its projection."""
    tensors = load_file(files("sd2"))
    prefix = "cond_stage_model.model.transformer.resblocks."
    for key in [key for key in tensors if key.startswith(prefix + "1.")]:
        tensors[key.replace(prefix + "1.", prefix + "2.")] = torch.randn_like(tensors[key])
    tensors["cond_stage_model.model.text_projection"] = torch.randn(64, 64)
    tensors["cond_stage_model.model.logit_scale"] = torch.zeros(())
    save_file(tensors, tmp_path / "long.safetensors", metadata={"modelspec.prediction_type": "v"})
    sara("convert", "--model", tmp_path / "long.safetensors", "--tokenizer", folders("sd2"), "--output", tmp_path / "back")
    ours = {key.removeprefix("text_model."): value for key, value in state(tmp_path / "back", "text_encoder").items()}
    equal(ours, {key.removeprefix("text_model."): value for key, value in state(folders("sd2"), "text_encoder").items()})
    assert json.loads((tmp_path / "back" / "scheduler" / "scheduler_config.json").read_text())["prediction_type"] == "v_prediction"


def test_metadata_says_what_the_file_is(files):
    with safe_open(files("sd2"), "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt" and metadata["modelspec.architecture"] == "stable-diffusion-v2-512"
    assert metadata["modelspec.prediction_type"] == "epsilon" and metadata["modelspec.sai_model_spec"] == "1.0.1"
