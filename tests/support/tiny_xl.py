# SPDX-License-Identifier: Apache-2.0
"""A whole SDXL pipeline with random weights, made and saved by diffusers, small enough to train and draw in seconds."""

import torch
from tiny_model import write_tokenizer


def write_tiny_xl(folder, **pipeline_settings):
    """The pipeline; its folder is folder / "model"."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    tokenizers = []
    for name, pad in {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}.items():
        write_tokenizer(folder / name, pad)
        tokenizers.append(CLIPTokenizer.from_pretrained(folder / name))
    torch.manual_seed(0)
    torch.set_num_threads(1)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2), attention_head_dim=(2, 4),
        cross_attention_dim=32 + 48, norm_num_groups=8, use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 24,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(16, 32), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4, norm_num_groups=8, sample_size=16, scaling_factor=0.13025,
    )  # fmt: skip
    shape = dict(
        intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=20, vocab_size=514,
        bos_token_id=512, eos_token_id=513,
    )  # fmt: skip
    first = CLIPTextModel(CLIPTextConfig(hidden_size=32, hidden_act="quick_gelu", pad_token_id=513, **shape))
    second = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=48, hidden_act="gelu", projection_dim=24, pad_token_id=33, **shape))
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    pipe = StableDiffusionXLPipeline(
        vae=vae, text_encoder=first, text_encoder_2=second, tokenizer=tokenizers[0], tokenizer_2=tokenizers[1], unet=unet,
        scheduler=scheduler, add_watermarker=False, **pipeline_settings,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(folder / "model")
    return pipe
