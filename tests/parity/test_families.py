# SPDX-License-Identifier: Apache-2.0
"""Every family in every layout through the whole job: `sara train` lowers the loss, the adapter is applied and merged, and diffusers
draws what it should from what was merged."""

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
import diffusers_models as models  # noqa: E402
from drawing import sara  # noqa: E402
from noise import noise_picture  # noqa: E402
from tiny_motion import write_tiny_animatediff  # noqa: E402

PROMPT = "a red cat"
WRITERS = {
    "sd1": models.save_sd,
    "sd2": lambda folder, scratch: models.save_sd(folder, scratch, second=True),
    "sd2 v-prediction": lambda folder, scratch: models.save_sd(folder, scratch, second=True, prediction_type="v_prediction"),
    "sdxl": models.save_sdxl,
    "sd3.0": lambda folder, scratch: models.save_sd3(folder, scratch, norm=None, dual=()),
    "sd3.5": models.save_sd3,
    "sd3 without T5": lambda folder, scratch: models.save_sd3(folder, scratch, norm=None, dual=(), with_t5=False),
}
PIPELINES = {"sd1": "StableDiffusionPipeline", "sd2": "StableDiffusionPipeline", "sdx": "StableDiffusionXLPipeline", "sd3": "StableDiffusion3Pipeline"}


class Family:
    """A tiny model in both layouts, as the flags of a verb, and what it is trained on."""

    def __init__(self, name, root):
        self.name, self.root, self.clips = name, root, name == "animatediff"
        if self.clips:
            write_tiny_animatediff(root)
            for part in ("base", "motion"):
                sara("convert", "--model", root / part, "--output", root / f"{part}.safetensors")
            self.layouts = {"folder": ["--model", root / "model"], "file": ["--model", root / "base.safetensors", "--motion-adapter", root / "motion.safetensors"]}
            self.kind = "AnimateDiffPipeline"
        else:
            WRITERS[name](root / "model", root / "scratch")
            sara("convert", "--model", root / "model", "--output", root / "model.safetensors")
            self.layouts = {"folder": ["--model", root / "model"], "file": ["--model", root / "model.safetensors"]}
            self.kind = PIPELINES[name[:3]]
        self.write_data()

    def write_data(self):
        for index in range(4):
            if self.clips:
                (self.root / "data" / f"clip{index}").mkdir(parents=True)
                for frame in range(4):
                    noise_picture((16, 16), 50, index).save(self.root / "data" / f"clip{index}" / f"{frame}.png")
                (self.root / "data" / f"clip{index}.txt").write_text(f"clip {index}")
            else:
                (self.root / "data").mkdir(exist_ok=True)
                noise_picture((16, 16), 50, index).save(self.root / "data" / f"{index}.png")
                (self.root / "data" / f"{index}.txt").write_text(f"picture {index}")

    def train(self, layout, output, lr):
        frames = ["--num-frames", "4", "--frame-stride", "1"] if self.clips else []
        sara(
            "train", *self.layouts[layout], "--data", self.root / "data", "--output", output, "--budget", "5%", "--lr", lr, "--steps", "20",
            "--batch-size", "4", "--resolution", "16", *frames,
        )  # fmt: skip
        steps = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
        losses = [step["loss"] for step in steps if "loss" in step]
        assert len(losses) == 20
        return losses

    def drawn(self, words, output):
        frames = ["--num-frames", "2"] if self.clips else []
        sara("generate", *words, "--prompt", PROMPT, "--steps", "10", "--width", "16", "--height", "16", "--output", output, *frames)
        paths = sorted((output / "0000").glob("*.png")) if self.clips else [output / "0000.png"]
        return numpy.stack([numpy.asarray(Image.open(path)).astype(int) for path in paths])

    def drawn_by_diffusers(self, source):
        """What diffusers draws from a folder, or from a single file with the configs of the base's folder."""
        import diffusers

        kind = getattr(diffusers, self.kind)
        more = {"safety_checker": None} if self.kind == "StableDiffusionPipeline" else {"text_encoder_3": None, "tokenizer_3": None} if "without" in self.name else {}
        if not source.is_dir() and self.kind == "StableDiffusion3Pipeline" and not more:  # diffusers 0.42 cannot read T5 from a file under transformers 5
            from transformers import T5EncoderModel

            more["text_encoder_3"] = T5EncoderModel.from_pretrained(self.root / "model" / "text_encoder_3")
        if source.is_dir():
            pipe = kind.from_pretrained(source, **more)
        else:
            pipe = kind.from_single_file(str(source), config=str(self.root / "model"), local_files_only=True, torch_dtype=torch.float32, **more)
        pipe.set_progress_bar_config(disable=True)
        options = dict(num_frames=2, guidance_scale=7.5) if self.clips else {}
        done = pipe(PROMPT, generator=torch.Generator().manual_seed(0), num_inference_steps=10, width=16, height=16, **options)
        frames = done.frames[0] if self.clips else done.images
        return numpy.stack([numpy.asarray(frame).astype(int) for frame in frames])


@pytest.fixture(scope="module", params=[*WRITERS, "animatediff"])
def family(request, tmp_path_factory):
    return Family(request.param, tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="module")
def learned(family):
    """Losses of a run on each layout, and of one that learns nothing on the same noise and timesteps."""
    return {layout: family.train(layout, family.root / f"run-{layout}", "0.02") for layout in family.layouts} | {
        "idle": family.train("folder", family.root / "run-idle", "1e-12")
    }


def test_twenty_steps_on_five_percent_lower_the_loss(learned):
    """Step by step the same pictures, noise and timesteps: the losses differ by what was learned, and by nothing else."""
    idle, losses = learned["idle"], learned["folder"]
    assert losses[0] == idle[0]
    assert sum(losses[10:]) < 0.95 * sum(idle[10:])


def test_a_file_trains_what_its_folder_trains_bit_for_bit(family, learned):
    assert learned["file"] == learned["folder"]
    ours, theirs = (load_file(family.root / f"run-{layout}" / "adapter.safetensors") for layout in ("file", "folder"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_the_adapter_is_applied_and_merged_in_both_layouts(family, learned, tmp_path):
    adapter = family.root / "run-folder" / "adapter.safetensors"
    base = family.drawn(family.layouts["folder"], tmp_path / "base")
    adapted = family.drawn([*family.layouts["folder"], "--adapter", adapter], tmp_path / "adapted")
    assert numpy.abs(adapted - base).max() > 3
    assert (family.drawn(family.layouts["file"], tmp_path / "base-file") == base).all()
    assert (family.drawn([*family.layouts["file"], "--adapter", adapter], tmp_path / "adapted-file") == adapted).all()
    outputs = ["folder"] if family.clips else ["folder", "file"]  # clips have no single-file form
    for layout, words in family.layouts.items():
        for output in outputs:
            merged = tmp_path / (f"{layout}-to-{output}" + (".safetensors" if output == "file" else ""))
            sara("merge", *words, "--adapter", adapter, "--output", merged)
            assert numpy.abs(family.drawn_by_diffusers(merged) - adapted).max() <= 2, merged.name


def test_verify_knows_the_base_in_both_layouts(family, learned):
    for words in family.layouts.values():
        assert "base hashes equal" in sara("verify", family.root / "run-folder" / "adapter.safetensors", *words)
        if not family.clips:
            found = sara("verify", words[1])
            parts = [path.name for path in sorted((family.root / "model").iterdir()) if path.is_dir() and path.name != "feature_extractor"]
            assert all(f"ok  {part}: " in found for part in parts), found


def test_motion_modules_without_a_model_are_refused(family, learned):
    words = ["verify", family.root / "run-folder" / "adapter.safetensors", "--motion-adapter", family.root / "motion"]
    done = subprocess.run([str(word) for word in [BUILD / "sara", *words]], capture_output=True, text=True)
    assert done.returncode == 2 and "--motion-adapter: has no effect without --model. Fix: " in done.stderr
