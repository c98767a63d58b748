# SPDX-License-Identifier: Apache-2.0
"""SDXL: `sara generate` and `sara train` on a folder that diffusers wrote, judged by StableDiffusionXLPipeline."""

import json
import pathlib
import subprocess
import sys

import numpy
import pytest
import torch
from probe import BUILD

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from drawing import drawn_by_diffusers, drawn_by_sara, sara  # noqa: E402
from noise import noise_picture  # noqa: E402
from tiny_xl import write_tiny_xl  # noqa: E402

PROMPT = "a red cat"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusers")
    return write_tiny_xl(folder), folder / "model"


@pytest.mark.parametrize(
    "words, options",
    [
        ([], {}),
        (["--guidance", "1"], dict(guidance_scale=1.0)),
        (["--guidance", "3", "--negative-prompt", "blur"], dict(guidance_scale=3.0, negative_prompt="blur")),
        (["--negative-prompt", ""], dict(negative_prompt="")),
        (["--width", "24", "--height", "32"], dict(width=24, height=32)),
        (["--seed", "3"], dict(seed=3)),
    ],
)
def test_the_picture_is_the_one_that_diffusers_draws(pipeline, tmp_path, words, options):
    pipe, model = pipeline
    (ours,) = drawn_by_sara(model, tmp_path / "out", "--prompt", PROMPT, *words)
    theirs = drawn_by_diffusers(pipe, PROMPT, **options)
    assert theirs.std() > 5
    assert numpy.abs(ours - theirs).max() <= 2


def test_an_absent_negative_prompt_is_not_the_empty_one(pipeline, tmp_path):
    _, model = pipeline
    (absent,) = drawn_by_sara(model, tmp_path / "absent", "--prompt", PROMPT)
    (empty,) = drawn_by_sara(model, tmp_path / "empty", "--prompt", PROMPT, "--negative-prompt", "")
    assert numpy.abs(absent - empty).max() > 2


def test_a_model_that_does_not_ask_for_zeros_encodes_the_empty_prompt(tmp_path):
    pipe = write_tiny_xl(tmp_path, force_zeros_for_empty_prompt=False)
    (ours,) = drawn_by_sara(tmp_path / "model", tmp_path / "out", "--prompt", PROMPT)
    assert numpy.abs(ours - drawn_by_diffusers(pipe, PROMPT)).max() <= 2


@pytest.fixture(scope="module")
def trained(pipeline, tmp_path_factory):
    """Twenty steps on four pictures, some larger than the crop: the run's folder."""
    folder = tmp_path_factory.mktemp("xl")
    (folder / "data").mkdir()
    for index, size in enumerate([(16, 16), (24, 16), (16, 30), (40, 20)]):
        noise_picture(size, 50, index).save(folder / "data" / f"{index}.png")
        (folder / "data" / f"{index}.txt").write_text(f"picture {index}")
    sara(
        "train", "--model", pipeline[1], "--data", folder / "data", "--output", folder / "run", "--budget", "5%", "--lr", "0.02",
        "--steps", "20", "--batch-size", "4", "--caption-dropout", "0.2", "--random-flip", "--cache", folder / "cache",
        "--min-timestep", "500", "--sample-prompt", PROMPT, "--sample-steps", "3",
    )  # fmt: skip
    return folder / "run"


def test_twenty_steps_on_five_percent_lower_the_loss(trained):
    steps = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    losses = [step["loss"] for step in steps if "loss" in step]
    assert len(losses) == 20
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert len(list((trained / "samples").rglob("*.png"))) == 2


def test_the_adapter_changes_the_picture_and_merged_it_is_what_diffusers_draws(pipeline, trained, tmp_path):
    from diffusers import StableDiffusionXLPipeline

    _, model = pipeline
    adapter = trained / "adapter.safetensors"
    sara("merge", "--model", model, "--adapter", adapter, "--output", tmp_path / "merged")
    (base,) = drawn_by_sara(model, tmp_path / "base", "--prompt", PROMPT)
    (adapted,) = drawn_by_sara(model, tmp_path / "adapted", "--prompt", PROMPT, "--adapter", adapter)
    (merged,) = drawn_by_sara(tmp_path / "merged", tmp_path / "drawn", "--prompt", PROMPT)
    pipe = StableDiffusionXLPipeline.from_pretrained(tmp_path / "merged", add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    theirs = drawn_by_diffusers(pipe, PROMPT)
    assert numpy.abs(adapted - base).max() > 3
    assert numpy.abs(adapted - theirs).max() <= 2
    assert numpy.abs(merged - theirs).max() <= 2


def test_lycoris_names_are_refused(pipeline, trained, tmp_path):
    words = ["merge", "--model", pipeline[1], "--adapter", trained / "adapter.safetensors", "--as", "lycoris", "--output", tmp_path / "x.safetensors"]
    done = subprocess.run([str(word) for word in [BUILD / "sara", *words]], capture_output=True, text=True)
    assert done.returncode == 2 and "Fix: use --as model" in done.stderr


def test_the_cache_holds_sizes_crops_and_pooled_text(trained):
    from safetensors.torch import load_file

    (latents,) = (trained.parent / "cache").glob("latents-*.safetensors")
    ids = load_file(latents)["time_ids"].tolist()
    assert ids[:4] == [[16, 16, 0, 0, 16, 16], [16, 24, 0, 4, 16, 16], [30, 16, 7, 0, 16, 16], [20, 40, 0, 8, 16, 16]]
    assert len(ids) == 8  # mirrored: the crop of the mirrored picture
    (text,) = (trained.parent / "cache").glob("text-*.safetensors")
    assert load_file(text)["pooled"].shape == (5, 24)
    assert load_file(text)["hidden"].shape == (5, 20, 80)
    assert load_file(text)["hidden"][0].abs().max() > 0  # the cache holds the encoded empty caption; zeros are the run's


def test_inspect_and_verify_know_the_family(pipeline):
    found = json.loads(sara("inspect", pipeline[1], "--json"))
    assert found["family"] == "sdxl" and found["resolution"] == 16
    assert found["parts"]["text_encoder_2"]["weights"] > 0
    assert "text_encoder_2: config" in sara("verify", pipeline[1])
