# SPDX-License-Identifier: Apache-2.0
"""One line changed in training loops as people write them: diffusers (plain and accelerate), transformers, a CNN; the files go to and
from the command line."""

import gc
import json
import os
import pathlib
import subprocess
import sys

import numpy
import pytest
import torch
from PIL import Image
from probe import BUILD

from networks import same_weights, weights_of

import sara

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL, STYLE = ROOT / "models" / "mini-sd", ROOT / "examples" / "styles" / "blueprint"
PROMPT, DRAWN_STEPS = "a red apple", 6


def fresh_pipeline():
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(MODEL, safety_checker=None, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn(pipeline):
    with torch.no_grad():
        picture = pipeline(PROMPT, num_inference_steps=DRAWN_STEPS, generator=torch.Generator().manual_seed(0), guidance_scale=7.5).images[0]
    return numpy.asarray(picture).astype(int)


def drawn_by_sara(output, *words):
    command = [BUILD / "sara", "generate", "--prompt", PROMPT, "--output", output, "--steps", DRAWN_STEPS, "--seed", 0, "--threads", 1, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return numpy.asarray(Image.open(output / "0000.png")).astype(int)


@pytest.fixture(scope="module")
def pipeline():
    return fresh_pipeline()


@pytest.fixture(scope="module")
def picture_of_the_base(pipeline):
    return drawn(pipeline)


@pytest.fixture(scope="module")
def data(pipeline):
    """Noisy latents of eight pictures of a style, timesteps, text and noise: one fixed set, so that a loss can be compared."""
    pictures = [numpy.asarray(Image.open(path).convert("RGB").resize((128, 128))) for path in sorted(STYLE.glob("*.png"))[:8]]
    pixels = torch.tensor(numpy.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels).latent_dist.mean * pipeline.vae.config.scaling_factor
        text, _ = pipeline.encode_prompt(["a blueprint"] * 8, "cpu", 1, False)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([50, 150, 250, 350, 450, 550, 650, 750])
    return torch.utils.data.TensorDataset(pipeline.scheduler.add_noise(latents, noise, timesteps), timesteps, text, noise)


def denoising_loss(unet, noisy, timesteps, text, noise):
    return torch.nn.functional.mse_loss(unet(noisy, timesteps, text).sample, noise)


def whole_loss(unet, data):
    with torch.no_grad():
        return denoising_loss(unet, *data.tensors).item()


def plain_loop(unet, data):
    optimizer = sara.AdamW(unet, budget="5%", lr=1e-3, max_grad_norm=1.0)  # was: torch.optim.AdamW(unet.parameters(), lr=1e-3)
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    for _ in range(6):
        for batch in loader:
            loss = denoising_loss(unet, *batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return optimizer


def accelerate_loop(unet, data):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    optimizer = compact = sara.AdamW(unet, budget="5%", lr=1e-3)  # was: torch.optim.AdamW(unet.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    loader = torch.utils.data.DataLoader(data, batch_size=2)
    unet, optimizer, schedule, loader = accelerator.prepare(unet, optimizer, schedule, loader)
    for _ in range(6):
        for batch in loader:
            with accelerator.accumulate(unet):
                accelerator.backward(denoising_loss(unet, *batch))
                if accelerator.sync_gradients:
                    assert accelerator.clip_grad_norm_(compact.parameters(), 1.0) > 0
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
    assert compact.steps == 12
    return compact


@pytest.mark.parametrize("loop", [plain_loop, accelerate_loop])
def test_fine_tuning_diffusers_unet_takes_one_line_and_the_file_draws_the_same_everywhere(loop, pipeline, picture_of_the_base, data, tmp_path):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(MODEL, subfolder="unet", torch_dtype=torch.float32)
    before = whole_loss(unet, data)
    optimizer = loop(unet, data)
    assert whole_loss(unet, data) < 0.97 * before
    assert optimizer.adapter().metadata["family"] == "sd1"
    optimizer.save(tmp_path / "style.safetensors", {"note": "blueprint"})
    optimizer.save(tmp_path / "exact.safetensors", as_values=True)
    optimizer.close()  # the same arithmetic as the base model's from here on,
    gc.collect()  # that of optimizers that others have left behind included

    base, base_unet = weights_of(pipeline.unet), pipeline.unet
    pipeline.unet = unet
    trained = drawn(pipeline)
    pipeline.unet = base_unet
    assert numpy.abs(trained - picture_of_the_base).max() > 8
    sara.apply(pipeline, tmp_path / "exact.safetensors")
    assert numpy.array_equal(drawn(pipeline), trained)
    sara.remove(pipeline)
    sara.apply(pipeline, tmp_path / "style.safetensors")
    assert numpy.abs(drawn(pipeline) - trained).max() <= 1
    sara.remove(pipeline)
    assert same_weights(weights_of(pipeline.unet), base)
    theirs = drawn_by_sara(tmp_path / "cli", "--adapter", tmp_path / "style.safetensors")
    assert numpy.abs(theirs - trained).max() <= 1


def test_an_adapter_of_the_command_line_applies_in_python(pipeline, picture_of_the_base, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in sorted(STYLE.glob("*.png"))[:2]:
        (pictures / path.name).write_bytes(path.read_bytes())
        (pictures / path.with_suffix(".txt").name).write_text("a drawing")
    words = ["train", "--data", pictures, "--output", tmp_path / "run", "--budget", "5%", "--lr", "1e-2", "--steps", 3, "--batch-size", 2, "--threads", 1]
    done = subprocess.run([str(word) for word in [BUILD / "sara", *words]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sara.apply(pipeline, tmp_path / "run" / "adapter.safetensors", scale=0.5)
    ours = drawn(pipeline)
    sara.remove(pipeline)
    theirs = drawn_by_sara(tmp_path / "cli", "--adapter", f"{tmp_path / 'run' / 'adapter.safetensors'}:0.5")
    assert numpy.abs(ours - picture_of_the_base).max() > 8
    assert numpy.abs(ours - theirs).max() <= 1


def test_accelerate_saves_and_loads_the_state(tmp_path):
    from accelerate import Accelerator

    def made():
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU(), torch.nn.Linear(16, 1))
        optimizer = sara.AdamW(network, 0.1, lr=1e-2, progressive_iter=4)
        accelerator = Accelerator(cpu=True)
        return accelerator, optimizer, *accelerator.prepare(network, optimizer)

    def run(accelerator, network, optimizer, steps):
        for step in steps:
            x = torch.randn(16, 8, generator=torch.Generator().manual_seed(step))
            accelerator.backward((network(x) - x.sum(1, keepdim=True)).pow(2).mean())
            optimizer.step()
            optimizer.zero_grad()

    accelerator, _, network, optimizer = made()
    run(accelerator, network, optimizer, range(5))
    accelerator.save_state(tmp_path / "state")
    run(accelerator, network, optimizer, range(5, 10))
    accelerator, compact, again, optimizer = made()
    accelerator.load_state(tmp_path / "state")
    assert compact.steps == 5 and compact.active < compact.selected
    run(accelerator, again, optimizer, range(5, 10))
    assert same_weights(weights_of(network), weights_of(again))


def test_a_transformers_model_trains_with_its_tied_weight_counted_once(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    def made():
        torch.manual_seed(0)
        return GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=64, n_positions=32, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))

    model = made()
    assert model.lm_head.weight is model.transformer.wte.weight
    optimizer = sara.AdamW(model, budget="30%", lr=1e-2, lambda_rank=1e-3, progressive_iter=10)
    assert optimizer.total == sum(p.numel() for p in model.parameters())
    ids = torch.arange(24).remainder(12).view(1, -1)
    losses = []
    for _ in range(20):
        loss = model(ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(optimizer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    optimizer.save(tmp_path / "gpt2.safetensors", as_values=True)
    fresh = made()
    sara.apply(fresh, tmp_path / "gpt2.safetensors")
    assert same_weights(weights_of(model), weights_of(fresh))


class Residual(torch.nn.Module):
    """A basic block as in a ResNet."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = (torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2 = (torch.nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x):
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


def test_a_convolutional_classifier_trains_with_momentum_of_its_norms_untouched(tmp_path):
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), Residual(16), Residual(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    optimizer = sara.AdamW(model, budget="40%", lr=5e-3, rank_layers="all")
    labels = torch.arange(32).remainder(4)
    images = torch.randn(32, 3, 32, 32) + labels.view(-1, 1, 1, 1)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert model[1].num_batches_tracked == 15
    optimizer.save(tmp_path / "cnn.safetensors")
    assert "family" not in sara.load(tmp_path / "cnn.safetensors").metadata


def test_no_dense_gradient_is_alive_after_backward_and_peak_memory_is_lower():
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "python_memory.py"), "--small"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BUILD / "python"), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = map(json.loads, done.stdout.splitlines())
    assert ours["dense_gradient_bytes_after_backward"] == 0
    assert theirs["dense_gradient_bytes_after_backward"] == 4 * theirs["parameters"]
    assert ours["index_bytes"] + ours["state_bytes"] <= 20 * ours["selected"]
    dense_gradients = 4 * ours["parameters"] / 1e9
    assert ours["peak_rss_gb"] < theirs["peak_rss_gb"] - 0.5 * dense_gradients
