# SPDX-License-Identifier: Apache-2.0
"""Whole pipelines against diffusers: `sara generate` on a folder diffusers wrote, diffusers on a folder `sara merge` wrote."""

import pathlib
import subprocess
import sys

import numpy
import pytest
import torch
from PIL import Image
from probe import BUILD

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tiny_model import write_tokenizer  # noqa: E402

PROMPTS = ["a red cat", "two dogs"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A random pipeline made and saved by diffusers: (pipeline, folder)."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("diffusers")
    write_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=1, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=4, cross_attention_dim=32, norm_num_groups=8,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(16, 32), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4, norm_num_groups=8, sample_size=16,
    )  # fmt: skip
    text = CLIPTextConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=20, vocab_size=514,
        bos_token_id=512, eos_token_id=513, pad_token_id=513,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"), unet=unet,
        scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(folder / "model")
    return pipe, folder / "model"


def drawn_by_diffusers(pipe, prompt, seed, **options):
    settings = dict(num_inference_steps=10, guidance_scale=7.5)
    generator = torch.Generator().manual_seed(seed)
    return numpy.asarray(pipe(prompt, generator=generator, **dict(settings, **options)).images[0]).astype(int)


def drawn_by_sara(model, output, *words):
    command = [BUILD / "sara", "generate", "--model", model, "--output", output, "--steps", "10", "--threads", "1", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [numpy.asarray(Image.open(path)).astype(int) for path in sorted(output.glob("0*.png"))]


def assert_same_picture(ours, theirs):
    assert ours.shape == theirs.shape
    assert numpy.abs(ours - theirs).max() <= 1


def test_prompts_give_the_pictures_that_diffusers_draws(pipeline, tmp_path):
    pipe, model = pipeline
    ours = drawn_by_sara(model, tmp_path / "out", "--seed", "3", "--num-images", "2", "--prompt", *PROMPTS)
    theirs = [drawn_by_diffusers(pipe, prompt, seed) for prompt in PROMPTS for seed in (3, 4)]
    assert len({picture.tobytes() for picture in theirs}) == 4
    for own, other in zip(ours, theirs, strict=True):
        assert_same_picture(own, other)


@pytest.mark.parametrize(
    "words, options",
    [
        (["--guidance", "1"], dict(guidance_scale=1.0)),
        (["--guidance", "3", "--negative-prompt", "blur"], dict(guidance_scale=3.0, negative_prompt="blur")),
        (["--eta", "1"], dict(eta=1.0)),
        (["--width", "24", "--height", "32"], dict(width=24, height=32)),
    ],
)
def test_settings_mean_the_same(pipeline, tmp_path, words, options):
    pipe, model = pipeline
    (ours,) = drawn_by_sara(model, tmp_path / "out", "--prompt", PROMPTS[0], *words)
    assert_same_picture(ours, drawn_by_diffusers(pipe, PROMPTS[0], 0, **options))


@pytest.mark.parametrize("name", ["ddpm", "euler", "euler_ancestral", "pndm", "dpm++2m"])
def test_samplers_draw_what_diffusers_schedulers_draw(pipeline, tmp_path, name):
    import diffusers

    pipe, model = pipeline
    classes = {
        "ddpm": "DDPMScheduler", "euler": "EulerDiscreteScheduler", "euler_ancestral": "EulerAncestralDiscreteScheduler",
        "pndm": "PNDMScheduler", "dpm++2m": "DPMSolverMultistepScheduler",
    }  # fmt: skip
    kept = pipe.scheduler
    try:
        pipe.scheduler = getattr(diffusers, classes[name]).from_pretrained(model / "scheduler")
        theirs = drawn_by_diffusers(pipe, PROMPTS[0], 5)
    finally:
        pipe.scheduler = kept
    (ours,) = drawn_by_sara(model, tmp_path / "out", "--prompt", PROMPTS[0], "--seed", "5", "--sampler", name)
    assert_same_picture(ours, theirs)


def test_diffusers_draws_the_same_with_a_merged_model(pipeline, tmp_path):
    from diffusers import StableDiffusionPipeline

    _, model = pipeline
    data = tmp_path / "data"
    data.mkdir()
    for index, colour in enumerate(["red", "blue"]):
        Image.new("RGB", (16, 16), colour).save(data / f"{index}.png")
        (data / f"{index}.txt").write_text(colour)
    train = ["train", "--model", model, "--data", data, "--output", tmp_path / "run", "--budget", "20%", "--lr", "0.05", "--steps", "8", "--batch-size", "2"]
    merge = ["merge", "--model", model, "--adapter", tmp_path / "run" / "adapter.safetensors", "--output", tmp_path / "merged"]
    for words in (train, merge):
        done = subprocess.run([str(word) for word in [BUILD / "sara", *words, "--threads", "1"]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (adapted,) = drawn_by_sara(model, tmp_path / "a", "--prompt", PROMPTS[0], "--adapter", tmp_path / "run" / "adapter.safetensors")
    (merged,) = drawn_by_sara(tmp_path / "merged", tmp_path / "m", "--prompt", PROMPTS[0])
    (base,) = drawn_by_sara(model, tmp_path / "b", "--prompt", PROMPTS[0])
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "merged", safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    theirs = drawn_by_diffusers(pipe, PROMPTS[0], 0)
    assert numpy.abs(adapted - base).max() > 3
    assert_same_picture(merged, theirs)
    assert_same_picture(adapted, theirs)
