# SPDX-License-Identifier: Apache-2.0
"""Which denoiser: a published configuration or that of a model folder. Without torch, so that the run can check its flags."""

import json
import pathlib

PUBLISHED_FACTOR = 8
PUBLISHED = {
    "random:sd15": dict(sample_size=64, cross_attention_dim=768),
    "random:sd20": dict(sample_size=64, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True),
}


class BadModel(Exception):
    pass


def unet_config(model):
    """(keywords of UNet2DConditionModel, pixels a latent) of random:sd15, random:sd20 or a model folder in diffusers' layout."""
    if model in PUBLISHED:
        return PUBLISHED[model], PUBLISHED_FACTOR
    folder = pathlib.Path(model)
    if not (folder / "unet" / "config.json").is_file():
        raise BadModel(f"model: neither a known configuration nor a model folder (expected {', '.join(PUBLISHED)} or a folder, got {model}). Fix: give one of them")
    config = json.loads((folder / "unet" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    return {key: value for key, value in config.items() if not key.startswith("_")}, 2 ** (len(vae["block_out_channels"]) - 1)


def latent_side(model, resolution):
    factor = unet_config(model)[1]
    if resolution % factor:
        raise BadModel(f"resolution: does not fit the model (expected a multiple of {factor}, got {resolution}). Fix: give one")
    return resolution // factor
