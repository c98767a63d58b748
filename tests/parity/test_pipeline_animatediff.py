# SPDX-License-Identifier: Apache-2.0
"""AnimateDiff: `sara generate` and `sara train` on folders that diffusers wrote, judged by AnimateDiffPipeline."""

import json
import pathlib
import subprocess
import sys

import numpy
import pytest
import torch
from PIL import Image
from probe import BUILD
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from noise import noise_picture  # noqa: E402
from tiny_motion import write_tiny_animatediff  # noqa: E402

PROMPT = "a red cat"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusers")
    return write_tiny_animatediff(folder), folder


def attempt(*words):
    return subprocess.run([str(word) for word in [BUILD / "sara", *words, "--threads", "1"]], capture_output=True, text=True)


def sara(*words):
    done = attempt(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(*words):
    done = attempt(*words)
    assert done.returncode in (2, 3) and done.stderr.count("sara: error: ") == 1, done.stderr
    return done.stderr


def frames_in(folder):
    return numpy.stack([numpy.asarray(Image.open(path)).astype(int) for path in sorted(folder.glob("*.png"))])


def drawn_by_sara(output, *words, frames=4):
    sara("generate", "--output", output, "--steps", "10", "--prompt", PROMPT, "--num-frames", frames, *words)
    return frames_in(output / "0000")


def drawn_by_diffusers(pipe, seed=0, num_frames=4, **options):
    settings = dict(num_inference_steps=10, guidance_scale=7.5, num_frames=num_frames)
    done = pipe(PROMPT, generator=torch.Generator().manual_seed(seed), **dict(settings, **options))
    return numpy.stack([numpy.asarray(frame).astype(int) for frame in done.frames[0]])


@pytest.mark.parametrize(
    "words, options",
    [
        ([], {}),
        (["--guidance", "1"], dict(guidance_scale=1.0)),
        (["--guidance", "3", "--negative-prompt", "blur"], dict(guidance_scale=3.0, negative_prompt="blur")),
        (["--eta", "1"], dict(eta=1.0)),
        (["--width", "24", "--height", "32"], dict(width=24, height=32)),
        (["--seed", "3"], dict(seed=3)),
    ],
)
def test_the_clip_is_the_one_that_diffusers_draws(pipeline, tmp_path, words, options):
    pipe, folder = pipeline
    ours, theirs = drawn_by_sara(tmp_path / "out", "--model", folder / "model", *words), drawn_by_diffusers(pipe, **options)
    assert ours.shape == theirs.shape and theirs.std() > 5
    assert numpy.abs(theirs[0] - theirs[-1]).max() > 5
    assert numpy.abs(ours - theirs).max() <= 2


@pytest.mark.parametrize("name", ["euler", "dpm++2m"])
def test_other_samplers_draw_what_diffusers_schedulers_draw(pipeline, tmp_path, name):
    import diffusers

    pipe, folder = pipeline
    kept = pipe.scheduler
    try:
        pipe.scheduler = getattr(diffusers, {"euler": "EulerDiscreteScheduler", "dpm++2m": "DPMSolverMultistepScheduler"}[name]).from_pretrained(folder / "model" / "scheduler")
        theirs = drawn_by_diffusers(pipe, seed=5)
    finally:
        pipe.scheduler = kept
    assert numpy.abs(drawn_by_sara(tmp_path / "out", "--model", folder / "model", "--seed", "5", "--sampler", name) - theirs).max() <= 2


def test_a_clip_has_sixteen_frames_and_an_animated_file_that_pillow_opens(pipeline, tmp_path):
    _, folder = pipeline
    sara("generate", "--model", folder / "model", "--output", tmp_path / "out", "--steps", "1", "--prompt", PROMPT, "--num-images", "2", "--grid")
    frames = frames_in(tmp_path / "out" / "0001")
    with Image.open(tmp_path / "out" / "0001.png") as animation:
        assert animation.is_animated and animation.n_frames == len(frames) == 16 and animation.info["loop"] == 0
        for index, frame in enumerate(frames):
            animation.seek(index)
            assert animation.info["duration"] == 125
            assert (numpy.asarray(animation.convert("RGB")) == frame).all()
    lines = [json.loads(line) for line in (tmp_path / "out" / "prompts.jsonl").read_text().splitlines()]
    assert [(line["file_name"], line["seed"], line["frames"]) for line in lines] == [("0000.png", 0, 16), ("0001.png", 1, 16)]
    assert Image.open(tmp_path / "out" / "grid.png").size[0] > 2 * 16
    sara("generate", "--model", folder / "model", "--output", tmp_path / "out", "--steps", "1", "--prompt", PROMPT, "--num-frames", "2", "--fps", "4", "--overwrite")
    assert len(frames_in(tmp_path / "out" / "0000")) == 2 and not (tmp_path / "out" / "0001").exists()
    assert Image.open(tmp_path / "out" / "0000.png").info["duration"] == 250


def test_motion_modules_may_lie_beside_the_model_in_every_form(pipeline, tmp_path):
    pipe, folder = pipeline
    theirs = drawn_by_diffusers(pipe)
    single = tmp_path / "mm.safetensors"
    sara("convert", "--model", folder / "motion", "--output", single)
    assert any(".temporal_transformer." in name for name in load_file(single))
    sara("convert", "--model", folder / "base", "--output", tmp_path / "base.safetensors")
    forms = [
        ["--model", folder / "parts"],
        ["--model", folder / "base", "--motion-adapter", folder / "motion"],
        ["--model", folder / "base", "--motion-adapter", single],
        ["--model", tmp_path / "base.safetensors", "--motion-adapter", single],
    ]
    for number, words in enumerate(forms):
        assert numpy.abs(drawn_by_sara(tmp_path / str(number), *words) - theirs).max() <= 2, words


def test_a_file_without_tables_of_positions_means_the_computed_ones(pipeline, tmp_path):
    from safetensors.torch import save_file

    pipe, folder = pipeline
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text((folder / "motion" / "config.json").read_text())
    kept = {name: value for name, value in load_file(folder / "motion" / "diffusion_pytorch_model.safetensors").items() if not name.endswith(".pe")}
    save_file(kept, tmp_path / "bare" / "diffusion_pytorch_model.safetensors")
    ours = drawn_by_sara(tmp_path / "out", "--model", folder / "base", "--motion-adapter", tmp_path / "bare")
    assert numpy.abs(ours - drawn_by_diffusers(pipe)).max() <= 2


@pytest.fixture(scope="module")
def trained(pipeline, tmp_path_factory):
    """Twenty steps on three clips, the last one shorter than what is drawn: the run's folder."""
    _, folder = pipeline
    root = tmp_path_factory.mktemp("clips")
    for index, count in enumerate([20, 14, 3]):
        clip = root / "data" / f"clip.{index}"
        clip.mkdir(parents=True)
        for frame in range(count):
            noise_picture((24, 16), 50, index).save(clip / f"frame_{frame}.png")
        (root / "data" / f"clip.{index}.txt").write_text(f"clip {index}")
    sara(
        "train", "--model", folder / "model", "--data", root / "data", "--output", root / "run", "--budget", "5%", "--lr", "0.05",
        "--steps", "20", "--batch-size", "2", "--num-frames", "4", "--random-flip", "--cache", root / "cache", "--min-timestep", "500",
        "--sample-prompt", PROMPT, "--sample-steps", "2",
    )  # fmt: skip
    return root / "run"


def test_twenty_steps_on_five_percent_lower_the_loss_and_train_motion_modules_alone(trained):
    steps = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    losses = [step["loss"] for step in steps if "loss" in step]
    assert len(losses) == 20
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    changed = {name for name in load_file(trained / "adapter.safetensors")}
    assert changed and all(".motion_modules." in name and "pos_embed" not in name for name in changed)
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["clips"] == 3 and summary["resolution"] == 16
    with Image.open(trained / "samples" / "after" / "0.png") as sample:
        assert sample.n_frames == 4


def test_every_frame_is_cached_once_and_once_mirrored(trained):
    (latents,) = (trained.parent / "cache").glob("latents-*.safetensors")
    assert load_file(latents)["mean"].shape == (2 * 37, 4, 8, 8)


def test_the_adapter_changes_the_clip_and_merged_it_is_what_diffusers_draws(pipeline, trained, tmp_path):
    from diffusers import AnimateDiffPipeline

    _, folder = pipeline
    adapter = trained / "adapter.safetensors"
    assert "all tensors there" in sara("verify", adapter, "--model", folder / "model")
    plain = drawn_by_sara(tmp_path / "plain", "--model", folder / "model")
    forms = {"model": ["--model", folder / "model"], "parts": ["--model", folder / "parts"], "beside": ["--model", folder / "base", "--motion-adapter", folder / "motion"]}
    for name, words in forms.items():
        adapted = drawn_by_sara(tmp_path / name / "adapted", *words, "--adapter", adapter)
        sara("merge", *words, "--adapter", adapter, "--output", tmp_path / name / "merged")
        merged = drawn_by_sara(tmp_path / name / "drawn", "--model", tmp_path / name / "merged")
        pipe = AnimateDiffPipeline.from_pretrained(tmp_path / name / "merged")
        pipe.set_progress_bar_config(disable=True)
        theirs = drawn_by_diffusers(pipe)
        assert numpy.abs(adapted - plain).max() > 3
        assert numpy.abs(adapted - theirs).max() <= 2, name
        assert numpy.abs(merged - theirs).max() <= 2, name
        own, unet = load_file(tmp_path / name / "merged" / "motion_adapter" / "diffusion_pytorch_model.safetensors"), pipe.unet.state_dict()
        assert all(torch.equal(own[key], unet[key]) for key in own)


def test_an_adapter_of_the_pictures_model_styles_clips_too(pipeline, trained, tmp_path):
    _, folder = pipeline
    (tmp_path / "data").mkdir()
    noise_picture((16, 16), 50, 0).save(tmp_path / "data" / "0.png")
    (tmp_path / "data" / "0.txt").write_text("a picture")
    sara("train", "--model", folder / "base", "--data", tmp_path / "data", "--output", tmp_path / "run", "--budget", "20%", "--lr", "0.05", "--steps", "4")
    model, style, motion = ["--model", folder / "model"], tmp_path / "run" / "adapter.safetensors", trained / "adapter.safetensors"
    plain, styled = drawn_by_sara(tmp_path / "plain", *model), drawn_by_sara(tmp_path / "styled", *model, "--adapter", style)
    both = drawn_by_sara(tmp_path / "both", *model, "--adapter", style, "--adapter", motion)
    assert numpy.abs(styled - plain).max() > 3 and numpy.abs(both - styled).max() > 3
    words = ["generate", "--model", folder / "base", "--adapter", motion, "--prompt", "a", "--output", tmp_path / "x"]
    assert "model family sd1, adapter family animatediff" in refusal(*words)


def test_all_of_the_network_is_trained_when_it_is_asked_for(pipeline, trained, tmp_path):
    _, folder = pipeline
    words = ["train", "--model", folder / "model", "--data", trained.parent / "data", "--budget", "5%", "--lr", "0.02", "--num-frames", "2", "--frame-stride", "1"]
    sara(*words, "--output", tmp_path / "run", "--steps", "2", "--include", "unet", "--memory", "checkpoint")
    names = set(load_file(tmp_path / "run" / "adapter.safetensors"))
    assert any(".motion_modules." in name for name in names) and any(".attn2.to_k" in name and ".motion_modules." not in name for name in names)


def test_checkpointed_blocks_train_alike(pipeline, trained, tmp_path):
    _, folder = pipeline
    losses = []
    for level in ["N0", "checkpoint"]:
        run = tmp_path / level
        sara(
            "train", "--model", folder / "model", "--data", trained.parent / "data", "--output", run, "--budget", "5%", "--lr", "0.02", "--steps", "4",
            "--batch-size", "1", "--num-frames", "4", "--memory", level,
        )  # fmt: skip
        steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        losses.append([step["loss"] for step in steps if "loss" in step])
    assert len(losses[0]) == 4 and losses[0][-1] != losses[0][0]
    assert numpy.allclose(losses[0], losses[1], rtol=1e-4)


def test_inspect_and_verify_know_the_family(pipeline):
    _, folder = pipeline
    found = json.loads(sara("inspect", folder / "model", "--json"))
    assert (found["family"], found["resolution"], found["missing"]) == ("animatediff", 16, [])
    assert found["parts"]["unet"]["class"] == "UNetMotionModel" and "mismatch" not in found["parts"]["unet"]
    assert "mismatch" not in found["parts"]["motion_adapter"]
    assert json.loads(sara("inspect", folder / "parts", "--json"))["missing"] == []
    assert json.loads(sara("inspect", folder / "motion", "--json"))["family"] == "animatediff"
    assert "unet: config" in sara("verify", folder / "model") and "unet: config" in sara("verify", folder / "parts")


def test_what_does_not_fit_is_refused(pipeline, trained, tmp_path):
    _, folder = pipeline
    draw = ["generate", "--prompt", "a", "--output", tmp_path / "out"]
    assert "only models with motion modules" in refusal(*draw, "--model", folder / "base", "--num-frames", "4")
    assert "--fps: has no effect on pictures" in refusal(*draw, "--model", folder / "base", "--fps", "4")
    assert "expected at most 24, got 25" in refusal(*draw, "--model", folder / "model", "--num-frames", "25")
    assert "has motion modules already" in refusal(*draw, "--model", folder / "model", "--motion-adapter", folder / "motion")
    assert "a component alone, such as motion modules, is no model" in refusal(*draw, "--model", folder / "motion")
    for name, source in {"mm": "motion", "base": "base"}.items():
        sara("convert", "--model", folder / source, "--output", tmp_path / f"{name}.safetensors")
    assert "give it as --motion-adapter" in refusal(*draw, "--model", tmp_path / "mm.safetensors")
    assert "not the config of a MotionAdapter" in refusal(*draw, "--model", folder / "base", "--motion-adapter", folder / "base" / "unet")
    (tmp_path / "mm.ckpt").write_bytes(b"\x80\x04.")
    assert "pickle" in refusal(*draw, "--model", folder / "base", "--motion-adapter", tmp_path / "mm.ckpt")
    assert "no such motion modules" in refusal(*draw, "--model", folder / "base", "--motion-adapter", tmp_path / "gone")
    assert "got family sd1" in refusal(*draw, "--model", folder / "base", "--motion-adapter", tmp_path / "base.safetensors")
    assert "no single-file form" in refusal("convert", "--model", folder / "model", "--output", tmp_path / "x.safetensors")
    assert "has no effect on a model's layout" in refusal("convert", "--model", folder / "base", "--motion-adapter", folder / "motion", "--output", tmp_path / "x")
    train = ["train", "--data", trained.parent / "data", "--output", tmp_path / "run"]
    assert "no effect on models of pictures" in refusal(*train, "--model", folder / "base", "--num-frames", "4")
    assert "expected at most 24, got 30" in refusal(*train, "--model", folder / "model", "--num-frames", "30")
    outside = tmp_path / "outside"
    outside.mkdir()
    noise_picture((16, 16), 50, 0).save(outside / "1.png")
    assert "lies outside of a clip" in refusal("train", "--model", folder / "model", "--data", outside, "--output", tmp_path / "run")
