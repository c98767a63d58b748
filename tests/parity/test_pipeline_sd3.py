# SPDX-License-Identifier: Apache-2.0
"""SD 3: `sara generate` and `sara train` on a folder that diffusers wrote, judged by StableDiffusion3Pipeline."""

import json
import pathlib
import subprocess
import sys

import numpy
import pytest
from probe import BUILD

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from drawing import drawn_by_diffusers, drawn_by_sara, sara  # noqa: E402
from noise import noise_picture  # noqa: E402
from tiny_sd3 import write_tiny_sd3  # noqa: E402

PROMPT = "a red cat"
FORMS = {
    "3.0": dict(),
    "3.0 without T5": dict(with_t5=False),
    "3.5 medium": dict(qk_norm="rms_norm", dual_attention_layers=(0, 1)),
}


@pytest.fixture(scope="module", params=FORMS)
def pipeline(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusers")
    return write_tiny_sd3(folder, **FORMS[request.param]), folder / "model"


def refusal(*words):
    done = subprocess.run([str(word) for word in [BUILD / "sara", *words]], capture_output=True, text=True)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize(
    "words, options",
    [
        ([], {}),
        (["--guidance", "1"], dict(guidance_scale=1.0)),
        (["--guidance", "3", "--negative-prompt", "blur"], dict(guidance_scale=3.0, negative_prompt="blur")),
        (["--width", "24", "--height", "16", "--seed", "3"], dict(width=24, height=16, seed=3)),
        (["--max-sequence-length", "9"], dict(max_sequence_length=9)),
    ],
)
def test_the_picture_is_the_one_that_diffusers_draws(pipeline, tmp_path, words, options):
    pipe, model = pipeline
    (ours,) = drawn_by_sara(model, tmp_path / "out", "--prompt", PROMPT, *words)
    theirs = drawn_by_diffusers(pipe, PROMPT, **options)
    assert theirs.std() > 5
    assert numpy.abs(ours - theirs).max() <= 2


def test_twenty_steps_on_five_percent_lower_the_loss_and_the_adapter_merges(pipeline, tmp_path):
    from diffusers import StableDiffusion3Pipeline

    built, model = pipeline
    (tmp_path / "data").mkdir()
    for index in range(4):
        noise_picture((16, 16), 50, index).save(tmp_path / "data" / f"{index}.png")
        (tmp_path / "data" / f"{index}.txt").write_text(f"picture {index}")
    run = tmp_path / "run"
    sara(
        "train", "--model", model, "--data", tmp_path / "data", "--output", run, "--budget", "5%", "--lr", "0.02", "--steps", "20",
        "--batch-size", "4", "--caption-dropout", "0.2", "--cache", tmp_path / "cache", "--sample-prompt", PROMPT, "--sample-steps", "2",
    )  # fmt: skip
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [step["loss"] for step in steps if "loss" in step]
    assert len(losses) == 20
    assert sum(losses[-5:]) < sum(losses[:5])

    sara("merge", "--model", model, "--adapter", run / "adapter.safetensors", "--output", tmp_path / "merged")
    (base,) = drawn_by_sara(model, tmp_path / "base", "--prompt", PROMPT)
    (adapted,) = drawn_by_sara(model, tmp_path / "adapted", "--prompt", PROMPT, "--adapter", run / "adapter.safetensors")
    absent = {} if built.text_encoder_3 else {"text_encoder_3": None, "tokenizer_3": None}
    pipe = StableDiffusion3Pipeline.from_pretrained(tmp_path / "merged", **absent)
    pipe.set_progress_bar_config(disable=True)
    theirs = drawn_by_diffusers(pipe, PROMPT)
    assert numpy.abs(adapted - base).max() > 3
    assert numpy.abs(adapted - theirs).max() <= 2


def test_checkpointed_blocks_train_alike(pipeline, tmp_path):
    (tmp_path / "data").mkdir()
    noise_picture((16, 16), 50, 0).save(tmp_path / "data" / "0.png")
    (tmp_path / "data" / "0.txt").write_text("a picture")
    losses = []
    for level in ["N0", "checkpoint"]:
        run = tmp_path / level
        sara("train", "--model", pipeline[1], "--data", tmp_path / "data", "--output", run, "--budget", "5%", "--lr", "0.02", "--steps", "4", "--memory", level)
        assert json.loads((run / "summary.json").read_text())["memory"] == level
        steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        losses.append([step["loss"] for step in steps if "loss" in step])
    assert len(losses[0]) == 4 and losses[0][-1] != losses[0][0]
    assert numpy.allclose(losses[0], losses[1], rtol=1e-4)


def test_inspect_and_verify_know_the_family(pipeline):
    found = json.loads(sara("inspect", pipeline[1], "--json"))
    assert found["family"] == "sd3" and found["resolution"] == 16 and found["prediction_type"] == "flow"
    assert "transformer: config" in sara("verify", pipeline[1])


def test_options_of_other_families_are_refused(pipeline, tmp_path):
    _, model = pipeline
    draw = ["generate", "--model", model, "--prompt", "a", "--output", tmp_path / "out"]
    assert "Fix: use --sampler flow_match" in refusal(*draw, "--sampler", "ddim")
    assert "not a multiple of 4" in refusal(*draw, "--width", "18")
    train = ["train", "--model", model, "--data", tmp_path, "--output", tmp_path / "run"]
    noise_picture((16, 16), 50, 0).save(tmp_path / "0.png")
    (tmp_path / "0.txt").write_text("x")
    assert "snr_gamma: not for flow-matching models" in refusal(*train, "--snr-gamma", "5")
    assert "no effect with weighting_scheme mode" in refusal(*train, "--weighting-scheme", "mode", "--logit-mean", "1")
