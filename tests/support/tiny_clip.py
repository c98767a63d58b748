# SPDX-License-Identifier: Apache-2.0
"""A whole CLIP model with random weights, as transformers saves one, on the tiny models' tokenizer."""

import pathlib

import torch
from tiny_model import write_json, write_tokenizer
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection

TEXT = dict(vocab_size=514, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=20,
            bos_token_id=512, eos_token_id=513, pad_token_id=513)  # fmt: skip
VISION = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=7)
PROCESSOR = dict(
    image_processor_type="CLIPImageProcessor", do_resize=True, do_center_crop=True, do_rescale=True, do_normalize=True, do_convert_rgb=True,
    size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, resample=3, rescale_factor=1 / 255,
    image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])  # fmt: skip


def write_tiny_clip(folder, seed=0, vision_only=False):
    """-> the transformers model whose weights lie in the folder."""
    folder = pathlib.Path(folder)
    torch.manual_seed(seed)
    if vision_only:
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION, projection_dim=24))
    else:
        model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=24))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 0:
                parameter.copy_(torch.randn_like(parameter) * (0.2 if parameter.dim() > 1 else 0.1) + (1 if name.endswith("norm.weight") else 0))
    write_tokenizer(folder)
    model.eval().save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", PROCESSOR)
    return model
