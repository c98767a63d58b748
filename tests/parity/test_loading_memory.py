# SPDX-License-Identifier: Apache-2.0
"""Loading takes the weights in their final type, 5 % and 300 MB; converting takes one tensor, whatever the size of the model."""

import os
import subprocess
import sys

import pytest
from probe import BUILD, ROOT, run_probe

sys.path.insert(0, str(ROOT / "tests" / "support"))
import diffusers_models as models  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """136 M weights, 542 MB in fp32."""
    root = tmp_path_factory.mktemp("middle")
    folder = models.save_sd(root / "model", root / "scratch")
    wide = models.small_unet(64, 8, False, block_out_channels=(256, 512, 512))
    wide.save_pretrained(folder / "unet")
    return folder


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "middle.safetensors"
    assert measured("convert", "--model", model, "--output", path)[0] == 0
    return path


# A process begins with the peak of the one it was forked from, so a small one stands between.
MEASURE = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024)
"""


def measured(*words):
    """Exit code, and the peak of resident memory in bytes."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SARA_")}
    command = [sys.executable, "-c", MEASURE, BUILD / "sara", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=dict(environment, OMP_NUM_THREADS="1"))
    code, peak = done.stdout.split()
    return int(code), int(peak)


def test_converting_takes_no_memory_for_the_model(model, file, tmp_path):
    assert file.stat().st_size > 540e6
    for words in (["--output", tmp_path / "half.safetensors", "--dtype", "fp16"], ["--output", tmp_path / "folder", "--dtype", "bf16"]):
        for source in (model, file):
            code, peak = measured("convert", "--model", source, *words, "--overwrite")
            assert code == 0 and peak < 300e6, peak


@pytest.mark.parametrize("layout", ["folder", "file"])
@pytest.mark.parametrize("stored, precision", [("fp32", "fp32"), ("fp32", "bf16"), ("fp32", "fp16"), ("fp16", "fp32")])
def test_loading_takes_the_weights_and_little_more(layout, stored, precision, model, file, tmp_path):
    path = {"folder": model, "file": file}[layout]
    if stored == "fp16":
        path = tmp_path / ("half" if layout == "folder" else "half.safetensors")
        assert measured("convert", "--model", model, "--output", path, "--dtype", "fp16")[0] == 0
    found = run_probe("load_memory", config=dict(model=str(path), precision=precision))
    weights, peak = found["weights"].item(), found["peak"].item()
    assert weights > (540e6 if precision == "fp32" else 270e6)
    assert peak <= 1.05 * weights + 300e6, (weights, peak)


def wide_sdxl(root):
    folder = models.save_sdxl(root / "model", root / "scratch")
    models.small_unet(
        192, [4, 8, 8], True, block_out_channels=(256, 512, 512), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=[1, 2, 3], addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=6 * 256 + 128,
    ).save_pretrained(folder / "unet")  # fmt: skip
    return folder, {}


def wide_sd3(root):
    from diffusers import SD3Transformer2DModel

    folder = models.save_sd3(root / "model", root / "scratch")
    SD3Transformer2DModel(
        sample_size=8, in_channels=16, num_layers=6, attention_head_dim=64, num_attention_heads=12, joint_attention_dim=224, caption_projection_dim=768,
        pooled_projection_dim=64 + 128, out_channels=16, pos_embed_max_size=96, qk_norm="rms_norm", dual_attention_layers=(0, 1),
    ).save_pretrained(folder / "transformer")  # fmt: skip
    return folder, {}


def wide_t5(root):
    from transformers import T5Config, T5EncoderModel

    folder = models.save_sd3(root / "model", root / "scratch")
    T5EncoderModel(T5Config(vocab_size=32128, d_model=1024, d_ff=4096, d_kv=64, num_layers=6, num_heads=16, feed_forward_proj="gated-gelu")).save_pretrained(folder / "text_encoder_3")
    return folder, {"part": "text_encoder_3"}


def wide_open_clip(root):
    """Three projections that lie as one in a single file."""
    from transformers import CLIPTextModel

    folder = models.save_sd(root / "model", root / "scratch", second=True)
    CLIPTextModel(models.clip_config(1024, layers=16, act="gelu")).save_pretrained(folder / "text_encoder")
    return folder, {"part": "text_encoder"}


def wide_clips(root):
    from diffusers import MotionAdapter

    folder = models.save_sd(root / "model", root / "scratch")
    models.small_unet(64, 8, False, block_out_channels=(256, 512, 512)).save_pretrained(folder / "unet")
    MotionAdapter(block_out_channels=(256, 512, 512), motion_layers_per_block=2, motion_num_attention_heads=8).save_pretrained(root / "motion")
    return folder, {"motion_adapter": root / "motion"}


@pytest.mark.parametrize("writer", [wide_sdxl, wide_sd3, wide_t5, wide_open_clip, wide_clips])
def test_every_family_loads_from_both_layouts_in_little_more_than_its_weights(writer, tmp_path):
    folder, more = writer(tmp_path)
    forms = {"folder": dict(more, model=folder), "file": dict(more, model=tmp_path / "model.safetensors")}
    assert measured("convert", "--model", folder, "--output", forms["file"]["model"])[0] == 0
    if "motion_adapter" in more:
        forms["file"]["motion_adapter"] = tmp_path / "motion.safetensors"
        assert measured("convert", "--model", more["motion_adapter"], "--output", forms["file"]["motion_adapter"])[0] == 0
    for form, precision in (("folder", "fp32"), ("file", "fp32"), ("file", "bf16")):
        found = run_probe("load_memory", config={key: str(value) for key, value in forms[form].items()} | {"precision": precision})
        weights, peak = found["weights"].item(), found["peak"].item()
        assert weights > (450e6 if precision == "fp32" else 225e6), weights
        assert peak <= 1.05 * weights + 300e6, (form, precision, weights, peak)
