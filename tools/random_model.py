# SPDX-License-Identifier: Apache-2.0
"""random_model.py FAMILY FOLDER: a whole model of published size with random weights, as a diffusers folder in bf16, for measuring memory
and time where the real one is not at hand. FAMILY: sd15, sdxl or sd3 (T5 has two of its layers).

    python tools/random_model.py sdxl sdxl-random                            # 7 GB
    build/sara train --model sdxl-random --data photos --resolution 256 --precision bf16 --batch-size 1 --steps 1 --output run

Weights are normal with the spread of their fan-in, norms near 1, so that activations stay of order 1. One file at a time is in memory,
of at most 1 GB. The tokenizer knows bytes alone, with the published ids of start and end.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "parity")]
SHARD_BYTES = 1_000_000_000


def published(family):
    """Components as modules of device meta, by name."""
    from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

    ends = dict(bos_token_id=49406, eos_token_id=49407)
    large = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768, **ends)
    giant = CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, hidden_act="gelu", projection_dim=1280, **ends)
    vae = dict(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=512 if family == "sd15" else 1024,
    )  # fmt: skip
    with torch.device("meta"):
        if family == "sd15":
            return {"unet": UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8), "vae": AutoencoderKL(**vae), "text_encoder": CLIPTextModel(large)}
        if family == "sdxl":
            unet = UNet2DConditionModel(
                sample_size=128, block_out_channels=(320, 640, 1280), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20),
                cross_attention_dim=2048, use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=2816,
            )  # fmt: skip
            return {"unet": unet, "vae": AutoencoderKL(**vae, scaling_factor=0.13025), "text_encoder": CLIPTextModel(large), "text_encoder_2": CLIPTextModelWithProjection(giant)}
        t5 = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=2, num_heads=64, feed_forward_proj="gated-gelu")
        return {
            "transformer": SD3Transformer2DModel(num_layers=24, num_attention_heads=24, caption_projection_dim=1536, pos_embed_max_size=192),
            "vae": AutoencoderKL(**vae, latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
            "text_encoder": CLIPTextModelWithProjection(large),
            "text_encoder_2": CLIPTextModelWithProjection(giant),
            "text_encoder_3": T5EncoderModel(t5),
        }


def drawn(name, shape, generator):
    value = torch.empty(shape).normal_(generator=generator)
    if "norm" in name:
        return value.mul_(0.1).add_(1 if name.endswith("weight") else 0).bfloat16()
    return value.mul_((value.numel() / value.shape[0]) ** -0.5 if value.dim() > 1 else 0.02).bfloat16()


def write_component(folder, module, generator):
    """config.json, and the weights in shards with their index."""
    from transformers import PreTrainedModel

    folder.mkdir(parents=True)
    encoder = isinstance(module, PreTrainedModel)
    config = json.loads(module.config.to_json_string(use_diff=False) if encoder else module.to_json_string())
    (folder / "config.json").write_text(json.dumps(config | ({"architectures": [type(module).__name__]} if encoder else {}), indent=2))
    names = dict(module.named_parameters()) | {name: value for name, value in module.named_buffers() if name in module.state_dict()}
    shards, size = [{}], 0
    for name, value in names.items():
        if size + 2 * value.numel() > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = value.shape
        size += 2 * value.numel()
    stem, where = "model" if encoder else "diffusion_pytorch_model", {}
    for number, shard in enumerate(shards):
        file = f"{stem}.safetensors" if len(shards) == 1 else f"{stem}-{number + 1:05}-of-{len(shards):05}.safetensors"
        save_file({name: drawn(name, shape, generator) for name, shape in shard.items()}, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, file)
    if len(shards) > 1:
        total = sum(2 * value.numel() for value in names.values())
        (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": where}))


def write_clip_tokenizer(folder, pad):
    from tiny_model import byte_letters, write_tokenizer

    write_tokenizer(folder, pad)
    letters = byte_letters()
    words = letters + [letter + "</w>" for letter in letters]
    words += [f"<unused {index}>" for index in range(49406 - len(words))] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 77}))


def write_model(family, folder):
    import diffusers
    from tiny_t5 import write_tokenizer_json

    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    pipeline = {"sd15": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline", "sd3": "StableDiffusion3Pipeline"}[family]
    index = {"_class_name": pipeline, "_diffusers_version": diffusers.__version__}
    for name, module in published(family).items():
        write_component(folder / name, module, generator)
        index[name] = ["transformers" if name.startswith("text") else "diffusers", type(module).__name__]
    for number, name in enumerate(["tokenizer"] if family == "sd15" else ["tokenizer", "tokenizer_2"]):
        write_clip_tokenizer(folder / name, "<|endoftext|>" if number == 0 else "!")
        index[name] = ["transformers", "CLIPTokenizer"]
    if family == "sd3":
        write_tokenizer_json(folder / "tokenizer_3")
        index["tokenizer_3"] = ["transformers", "T5TokenizerFast"]
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    else:
        kind = diffusers.DDIMScheduler if family == "sd15" else diffusers.EulerDiscreteScheduler
        scheduler = kind(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading")
    scheduler.save_pretrained(folder / "scheduler")
    index["scheduler"] = ["diffusers", type(scheduler).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=["sd15", "sdxl", "sd3"])
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    write_model(arguments.family, arguments.folder)
