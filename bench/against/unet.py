# SPDX-License-Identifier: Apache-2.0
"""diffusers' UNet with random weights (nothing is downloaded) and random batches of its shapes, never zeros."""

import contextlib
from dataclasses import dataclass

import torch

from bench.against.model import unet_config

TEXT_TOKENS = 77
WEIGHT_DTYPES = {"fp32": torch.float32, "bf16-autocast": torch.float32, "bf16": torch.bfloat16}


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def build_unet(model, precision):
    """The weights are created in their own dtype: a conversion would raise the peak memory of the process."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    with default_dtype(WEIGHT_DTYPES[precision]):
        return UNet2DConditionModel(**unet_config(model)[0]).train()


@dataclass
class Batch:
    latents: torch.Tensor  # [B, C, side, side]
    noise: torch.Tensor  # the target of the mean squared error, same shape
    text: torch.Tensor  # [B, 77, width]
    timesteps: torch.Tensor  # [B]


def random_batch(unet, latent_side, batch_size):
    like = dict(dtype=unet.dtype)
    shape = (batch_size, unet.config.in_channels, latent_side, latent_side)
    text = torch.randn(batch_size, TEXT_TOKENS, unet.config.cross_attention_dim, **like)
    return Batch(torch.randn(shape, **like), torch.randn(shape), text, torch.randint(0, 1000, (batch_size,)))


def denoising_loss(unet, batch, autocast):
    """Mean squared error of the noise prediction in float32. Autocast spans the UNet's forward pass, as accelerate does it."""
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        predicted = unet(batch.latents, batch.timesteps, batch.text).sample
    return torch.nn.functional.mse_loss(predicted.float(), batch.noise)
