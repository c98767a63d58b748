# SPDX-License-Identifier: Apache-2.0
"""Tiny random models of every family, built and saved by diffusers and transformers themselves."""

import json
import pathlib

import torch
from tiny_model import write_tokenizer

TOKENS = 514  # of the tiny tokenizer: start 512, end 513


def clip_config(width, layers=2, act="quick_gelu", projection=None, pad=513):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=TOKENS,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        max_position_embeddings=20,
        hidden_act=act,
        projection_dim=projection or width,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=pad,
    )


def small_vae(latents=4, scaling=0.18215, **more):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=2,
        latent_channels=latents,
        scaling_factor=scaling,
        sample_size=512,
        **more,
    )


def small_unet(cross, heads, linear, **more):
    from diffusers import UNet2DConditionModel

    config = dict(
        sample_size=64,
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=heads,
        cross_attention_dim=cross,
        use_linear_projection=linear,
    )
    return UNet2DConditionModel(**dict(config, **more))


def ddim(**more):
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1, **more
    )


def clip_tokenizer(scratch, name="tokenizer"):
    from transformers import CLIPTokenizer

    folder = pathlib.Path(scratch) / name
    if not folder.exists():
        write_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


def save_sd(folder, scratch, second=False, **scheduler):
    """Stable Diffusion 1.x, or 2.x when `second`."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    torch.manual_seed(2 if second else 1)
    text = CLIPTextModel(clip_config(64, act="gelu" if second else "quick_gelu"))
    StableDiffusionPipeline(
        vae=small_vae(),
        text_encoder=text,
        tokenizer=clip_tokenizer(scratch),
        unet=small_unet(64, [1, 1, 1] if second else 8, second),
        scheduler=ddim(**scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return pathlib.Path(folder)


def save_sdxl(folder, scratch):
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(3)
    unet = small_unet(
        192,
        [1, 1, 1],
        True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=[1, 2, 3],
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + 128,
        sample_size=8,
    )
    StableDiffusionXLPipeline(
        vae=small_vae(scaling=0.13025),
        text_encoder=CLIPTextModel(clip_config(64)),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(128, 3, act="gelu", projection=128)),
        tokenizer=clip_tokenizer(scratch),
        tokenizer_2=clip_tokenizer(scratch),
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
        ),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    ).save_pretrained(folder)
    return pathlib.Path(folder)


def save_sd3(folder, scratch, norm="rms_norm", dual=(0,), with_t5=True):
    """The parts of Stable Diffusion 3 with their index; the projection of CLIP-L is the unit matrix, as published."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
    from tiny_t5 import pieces, write_tokenizer_json
    from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(4)
    folder = pathlib.Path(folder)
    first = CLIPTextModelWithProjection(clip_config(64))
    with torch.no_grad():
        first.text_projection.weight.copy_(torch.eye(64))
    t5, t5_tokenizer = None, None
    if with_t5:
        t5_tokenizer = T5Tokenizer.from_pretrained(write_tokenizer_json(pathlib.Path(scratch) / "tokenizer_3"))
        t5 = T5EncoderModel(T5Config(
            vocab_size=len(pieces()) + 100, d_model=224, d_ff=128, d_kv=64, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu",
        ))  # fmt: skip
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        num_layers=3,
        attention_head_dim=64,
        num_attention_heads=2,
        joint_attention_dim=224,
        caption_projection_dim=128,
        pooled_projection_dim=64 + 128,
        out_channels=16,
        pos_embed_max_size=8,
        dual_attention_layers=dual,
        qk_norm=norm,
    )
    parts = dict(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=first,
        text_encoder_2=CLIPTextModelWithProjection(clip_config(128, act="gelu")),  # diffusers tells the two by their widths
        text_encoder_3=t5,
        tokenizer=clip_tokenizer(scratch),
        tokenizer_2=clip_tokenizer(scratch),
        tokenizer_3=t5_tokenizer,
        transformer=transformer,
        vae=small_vae(16, 1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
    )
    index = {"_class_name": "StableDiffusion3Pipeline", "_diffusers_version": "0.35.0"}
    for name, part in parts.items():
        if part is None:
            index[name] = [None, None]
            continue
        part.save_pretrained(folder / name)
        index[name] = ["transformers" if "text" in name or "token" in name else "diffusers", type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return folder


def save_motion_adapter(folder, scratch, middle=True):
    from diffusers import MotionAdapter

    torch.manual_seed(5)
    MotionAdapter(
        block_out_channels=(32, 64, 64, 64),
        motion_layers_per_block=2,
        motion_num_attention_heads=8,
        motion_norm_num_groups=32,
        motion_max_seq_length=24,
        use_motion_mid_block=middle,
    ).save_pretrained(folder)
    return pathlib.Path(folder)
