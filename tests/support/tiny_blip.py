# SPDX-License-Identifier: Apache-2.0
"""A whole BLIP with random weights that answers questions, as transformers saves one, on a small WordPiece vocabulary."""

import pathlib

import torch
from tiny_model import write_json
from transformers import BlipConfig, BlipForQuestionAnswering

SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "yes no a an the red blue green apple dog photo of two cats ? ! , . - ' un able affable believ 2026 \u4e2d \u03b1\u03b2 strasse".split()
PROCESSOR = dict(
    image_processor_type="BlipImageProcessor", do_resize=True, do_rescale=True, do_normalize=True, do_convert_rgb=True, size={"height": 32, "width": 32},
    resample=3, rescale_factor=1 / 255, image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])  # fmt: skip
VISION = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)


def vocabulary():
    """Words, single letters and digits, and pieces that go on with a word."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return list(dict.fromkeys([*SPECIAL, *WORDS, *letters, *("##" + letter for letter in letters), "##able", "##ing", "##s", "##ple", "##\u03b2"]))


def blip_config(**text):
    words = len(vocabulary())
    own = dict(vocab_size=words + 2, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40,
               bos_token_id=words, pad_token_id=0, sep_token_id=4)  # fmt: skip
    return BlipConfig(text_config=dict(own, **text), vision_config=VISION)


def write_vocabulary(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(word + "\n" for word in vocabulary()), "utf-8")
    write_json(folder / "tokenizer_config.json", dict(tokenizer_class="BertTokenizer", do_lower_case=True, model_max_length=512))
    return folder


def write_tiny_blip(folder, seed=0):
    """-> the transformers model whose weights lie in the folder."""
    folder = write_vocabulary(folder)
    model = BlipForQuestionAnswering(blip_config())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.3 if parameter.dim() > 1 else 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale + (1 if "orm" in name and name.endswith("weight") else 0))
    model.eval().save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", PROCESSOR)
    return model
