# SPDX-License-Identifier: Apache-2.0
"""A whole AnimateDiff pipeline with random weights, made and saved by diffusers, small enough to train and draw in seconds."""

import json
import shutil

import torch
from tiny_model import write_tokenizer

LINEAR = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False, steps_offset=1)


def write_tiny_animatediff(folder, middle=True):
    """The pipeline. In folder: "model" as diffusers saves it (motion modules in the UNet), "base" (its Stable Diffusion),
    "motion" (its motion modules alone) and "parts" (a plain UNet with the motion modules beside it)."""
    from diffusers import (
        AnimateDiffPipeline, AutoencoderKL, DDIMScheduler, MotionAdapter, StableDiffusionPipeline, UNet2DConditionModel,
    )  # fmt: skip
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    write_tokenizer(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=1, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=4, cross_attention_dim=32, norm_num_groups=32,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(16, 32), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4, norm_num_groups=8, sample_size=16,
    )  # fmt: skip
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=20, vocab_size=514,
            bos_token_id=512, eos_token_id=513, pad_token_id=513,
        )
    )  # fmt: skip
    motion = MotionAdapter(
        block_out_channels=(32, 64), motion_layers_per_block=1, motion_num_attention_heads=8, motion_norm_num_groups=32,
        motion_max_seq_length=24, use_motion_mid_block=middle,
    )  # fmt: skip
    motion.save_pretrained(folder / "motion")
    base = StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        scheduler=DDIMScheduler(**dict(LINEAR, beta_schedule="scaled_linear")),
    )  # fmt: skip
    base.save_pretrained(folder / "base")
    pipe = AnimateDiffPipeline(vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, motion_adapter=motion, scheduler=DDIMScheduler(**LINEAR))
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(folder / "model")

    shutil.copytree(folder / "model", folder / "parts", ignore=lambda place, names: ["unet"] if place.endswith("model") else [])
    shutil.copytree(folder / "base" / "unet", folder / "parts" / "unet")
    index = json.loads((folder / "parts" / "model_index.json").read_text())
    index["unet"] = ["diffusers", "UNet2DConditionModel"]
    (folder / "parts" / "model_index.json").write_text(json.dumps(index))
    return pipe
