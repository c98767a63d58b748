# SPDX-License-Identifier: Apache-2.0
"""A whole Stable Diffusion folder with random weights, small enough to train and draw in seconds."""

import json
import pathlib

from probe import run_probe
from safetensors.torch import save_file

UNET = dict(
    _class_name="UNet2DConditionModel",
    sample_size=8,
    in_channels=4,
    out_channels=4,
    block_out_channels=[16, 32],
    layers_per_block=1,
    down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
    attention_head_dim=4,
    cross_attention_dim=32,
    norm_num_groups=8,
)
VAE = dict(
    _class_name="AutoencoderKL",
    block_out_channels=[16, 16],
    down_block_types=["DownEncoderBlock2D"] * 2,
    up_block_types=["UpDecoderBlock2D"] * 2,
    layers_per_block=1,
    latent_channels=4,
    norm_num_groups=8,
    sample_size=16,
    scaling_factor=0.5,
)
TEXT = dict(
    architectures=["CLIPTextModel"],
    model_type="clip_text_model",
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=20,
    vocab_size=514,
    hidden_act="quick_gelu",
    bos_token_id=512,
    eos_token_id=513,
    pad_token_id=513,
)
SCHEDULER = dict(
    _class_name="DDIMScheduler",
    num_train_timesteps=1000,
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    clip_sample=False,
    set_alpha_to_one=False,
    steps_offset=1,
    prediction_type="epsilon",
)
PIPELINE = dict(
    _class_name="StableDiffusionPipeline",
    _diffusers_version="0.35.0",
    feature_extractor=[None, None],
    image_encoder=[None, None],
    requires_safety_checker=False,
    safety_checker=[None, None],
    scheduler=["diffusers", "DDIMScheduler"],
    text_encoder=["transformers", "CLIPTextModel"],
    tokenizer=["transformers", "CLIPTokenizer"],
    unet=["diffusers", "UNet2DConditionModel"],
    vae=["diffusers", "AutoencoderKL"],
)


def byte_letters():
    """The 256 letters that byte-level vocabularies write bytes with."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return [letters[byte] for byte in range(256)]


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_tokenizer(folder, pad="<|endoftext|>"):
    """A CLIP tokenizer without merges: a token a byte."""
    folder.mkdir(parents=True)
    letters = byte_letters()
    words = letters + [letter + "</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token=pad)
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json", dict(special, model_max_length=20, tokenizer_class="CLIPTokenizer", do_lower_case=True))


def write_tiny_model(folder, seed=0, unet=None):
    """The weights come from the library's own initialisation (probe `random_model`)."""
    folder = pathlib.Path(folder)
    configs = dict(unet=dict(UNET, **(unet or {})), vae=VAE, text_encoder=TEXT)
    tensors = run_probe("random_model", config=dict(configs, seed=seed))
    write_tokenizer(folder / "tokenizer")
    write_json(folder / "model_index.json", PIPELINE)
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    for name, config in configs.items():
        (folder / name).mkdir()
        write_json(folder / name / "config.json", config)
        own = {key.removeprefix(name + "."): value for key, value in tensors.items() if key.startswith(name + ".")}
        file = "model.safetensors" if name == "text_encoder" else "diffusion_pytorch_model.safetensors"
        save_file(own, folder / name / file, metadata={"format": "pt"})
    return folder
