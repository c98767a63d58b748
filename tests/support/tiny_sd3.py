# SPDX-License-Identifier: Apache-2.0
"""A whole SD 3 pipeline with random weights, made and saved by diffusers, small enough to train and draw in seconds."""

import torch
from tiny_model import write_tokenizer
from tiny_t5 import pieces, write_tokenizer_json


def write_tiny_sd3(folder, with_t5=True, **transformer_settings):
    """The pipeline; its folder is folder / "model"."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

    tokenizers = []
    for name, pad in {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}.items():
        write_tokenizer(folder / name, pad)
        tokenizers.append(CLIPTokenizer.from_pretrained(folder / name))
    torch.manual_seed(0)
    torch.set_num_threads(1)
    transformer = SD3Transformer2DModel(**dict(
        dict(
            sample_size=8, num_layers=3, attention_head_dim=8, num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=96,
            pooled_projection_dim=20 + 24, in_channels=16, out_channels=16, pos_embed_max_size=12,
        ),
        **transformer_settings,
    ))  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(16, 32), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=16, norm_num_groups=8, sample_size=16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False,
        use_post_quant_conv=False,
    )  # fmt: skip
    shape = dict(
        intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=20, vocab_size=514, bos_token_id=512,
        eos_token_id=513,
    )  # fmt: skip
    first = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=32, hidden_act="quick_gelu", projection_dim=20, pad_token_id=513, **shape))
    second = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=48, hidden_act="gelu", projection_dim=24, pad_token_id=33, **shape))
    t5, t5_tokenizer = None, None
    if with_t5:
        t5_tokenizer = T5Tokenizer.from_pretrained(write_tokenizer_json(folder / "tokenizer_3"))
        t5 = T5EncoderModel(T5Config(
            vocab_size=len(pieces()) + 100, d_model=96, d_kv=16, d_ff=64, num_layers=2, num_heads=3, feed_forward_proj="gated-gelu",
        )).eval()  # fmt: skip
    pipe = StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae, text_encoder=first, tokenizer=tokenizers[0],
        text_encoder_2=second, tokenizer_2=tokenizers[1], text_encoder_3=t5, tokenizer_3=t5_tokenizer,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(folder / "model")
    return pipe
