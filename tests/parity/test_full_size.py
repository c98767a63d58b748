# SPDX-License-Identifier: Apache-2.0
"""The published configurations at full size against diffusers and transformers: random weights, one forward and backward pass at a small
resolution. Stored in bf16, computed in fp32, so that both sides hold the same numbers and 1e-4 means what it means elsewhere. One process at
a time holds the model; a machine without the memory skips with what it lacks. SD 1.5, SD 2.0, CLIP L, the autoencoder and AnimateDiff v2 stand
with their families' tests. Minutes and up to 17 GB: run by `make test-full`."""

import json
import os
import resource

import pytest
import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel
from model_parity import assert_close, assert_gradients_close
from probe import run_probe
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

pytestmark = pytest.mark.skipif(os.environ.get("SARA_FULL_SIZE") != "1", reason="takes minutes and up to 17 GB. Run it by: make test-full")


def available_gb():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) / 1e6


def require_memory(gb):
    if available_gb() < gb:
        pytest.skip(f"needs {gb} GB of memory, {available_gb():.1f} GB are available")


def write_weights(names_and_shapes, file, scale, seed=1):
    """Much as randomize() draws them, in bf16."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in names_and_shapes:
        value = torch.empty(shape).normal_(generator=generator)
        if "norm" in name and value.dim() == 1:  # a modulation's matrix is no norm: with ones its sums over the full width drown all else
            value.mul_(0.2).add_(1 if name.endswith("weight") else 0)
        else:
            value.mul_(scale * (value.numel() / value.shape[0]) ** -0.5 if value.dim() > 1 else 0.2 * scale)
        tensors[name] = value.bfloat16()
    save_file(tensors, file)


def filled(model, file, prefix=""):
    """The model of device meta with the file's weights in fp32."""
    with safe_open(file, "pt") as opened:
        weights = {name: opened.get_tensor(name if name.startswith(prefix) else prefix + name).float() for name in model.state_dict()}
    model.load_state_dict(weights, assign=True, strict=True)
    return model.eval()


def judged(model, answer, probe, tensors, config, chosen, file, prefix="", **more):
    try:
        out = run_probe(probe, tensors, {"model": config, "weights": str(file), "gradients": [prefix + name for name in chosen], **more})
        filled(model, file, prefix)
    finally:
        file.unlink(missing_ok=True)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    expected = answer(model)
    (expected * tensors["cotangent"]).sum().backward()
    assert_close(out["output"], expected)
    assert_gradients_close(out, model, prefix)
    peaks = [resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"peak GB: this process {peaks[0]:.1f}, the library's {peaks[1]:.1f}")


DENOISERS = {
    "SD 2.1": (UNet2DConditionModel, 865_910_724, dict(
        sample_size=96, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True, upcast_attention=True,
    )),
    "SDXL": (UNet2DConditionModel, 2_567_463_684, dict(
        sample_size=128, block_out_channels=(320, 640, 1280), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20), cross_attention_dim=2048, use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
    )),
    "SD 3 medium": (SD3Transformer2DModel, 2_028_328_000, dict(
        num_layers=24, num_attention_heads=24, caption_projection_dim=1536, pos_embed_max_size=192,
    )),
}  # fmt: skip
CHOSEN = {
    UNet2DConditionModel: [
        "conv_in.weight", "time_embedding.linear_1.weight", "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight",
        "up_blocks.2.resnets.2.conv_shortcut.weight", "conv_norm_out.weight",
    ],
    SD3Transformer2DModel: [
        "pos_embed.proj.weight", "time_text_embed.text_embedder.linear_1.weight", "transformer_blocks.0.attn.add_q_proj.weight",
        "transformer_blocks.23.norm1_context.linear.weight", "transformer_blocks.12.ff.net.2.weight", "proj_out.weight",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", DENOISERS)
def test_the_denoiser_equals_diffusers(name, tmp_path):
    kind, count, form = DENOISERS[name]
    require_memory(1.5 + 6 * count / 1e9)  # fp32, and the file in bf16 as it is mapped
    with torch.device("meta"):
        model = kind(**form)
    assert sum(value.numel() for value in model.parameters()) == count
    write_weights([(key, value.shape) for key, value in model.state_dict().items()], tmp_path / "weights.safetensors", 0.5 if kind is SD3Transformer2DModel else 1)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    channels = model.config.in_channels
    tensors = {"sample": normal(1, channels, 16, 16), "timestep": torch.tensor([731.0]), "cotangent": normal(1, channels, 16, 16)}
    if kind is SD3Transformer2DModel:
        tensors |= {"text": normal(1, 77, 4096), "pooled": normal(1, 2048)}

        def answer(model):
            return model(hidden_states=tensors["sample"], encoder_hidden_states=tensors["text"], pooled_projections=tensors["pooled"], timestep=tensors["timestep"]).sample
    else:
        tensors |= {"timestep": torch.tensor([731]), "text": normal(1, 77, form["cross_attention_dim"])}
        if name == "SDXL":
            tensors |= {"pooled": normal(1, 1280), "time_ids": torch.tensor([[1024.0, 768, 0, 64, 1024, 1024]])}

        def answer(model):
            added = {"text_embeds": tensors["pooled"], "time_ids": tensors["time_ids"]} if name == "SDXL" else None
            return model(tensors["sample"], tensors["timestep"], tensors["text"], added_cond_kwargs=added).sample

    probe = "mmdit" if kind is SD3Transformer2DModel else "unet"
    judged(model, answer, probe, tensors, json.loads(model.to_json_string()), CHOSEN[kind], tmp_path / "weights.safetensors")


CLIPS = {
    "OpenCLIP H": (CLIPTextModel, 340_387_840, dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu")),
    "OpenCLIP bigG": (CLIPTextModelWithProjection, 694_659_840, dict(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, hidden_act="gelu", projection_dim=1280,
        bos_token_id=49406, eos_token_id=49407,
    )),
}  # fmt: skip


@pytest.mark.parametrize("name, state", [("OpenCLIP H", "last"), ("OpenCLIP bigG", "penultimate"), ("OpenCLIP bigG", "pooled")])
def test_the_text_encoder_equals_transformers(name, state, tmp_path):
    kind, count, form = CLIPS[name]
    require_memory(1.5 + 6 * count / 1e9)
    with torch.device("meta"):
        model = kind(CLIPTextConfig(**form))
    assert sum(value.numel() for value in model.parameters()) == count
    ours = [(key if key.startswith("text_") else "text_model." + key, value.shape) for key, value in model.state_dict().items()]
    prefix = "" if ours[0][0] in model.state_dict() else "text_model."
    write_weights(ours, tmp_path / "weights.safetensors", 1)
    generator = torch.Generator().manual_seed(8)
    ids = torch.randint(0, 49406, (1, 77), generator=generator)
    ids[0, 0], ids[0, 40:] = 49406, 49407
    width = {"last": 1024, "penultimate": 1280, "pooled": 1280}[state]
    cotangent = torch.randn(*([1, 77, width] if state != "pooled" else [1, width]), generator=generator)

    def answer(model):
        fresh_positions(model)
        out = model(ids, output_hidden_states=True)
        return {"last": lambda: out.last_hidden_state, "penultimate": lambda: out.hidden_states[-2], "pooled": lambda: out.text_embeds}[state]()

    config = dict(json.loads(model.config.to_json_string(use_diff=False)), architectures=[kind.__name__])
    chosen = [key.removeprefix(prefix) for key in ("text_model.embeddings.token_embedding.weight", "text_model.encoder.layers.11.self_attn.k_proj.weight")]
    judged(model, answer, "clip_text", {"ids": ids, "cotangent": cotangent}, config, chosen, tmp_path / "weights.safetensors", prefix, state=state)


def fresh_positions(model):
    """Tables that are computed, not stored, and so are still of device meta."""
    for module in model.modules():
        if getattr(module, "position_ids", None) is not None and module.position_ids.is_meta:
            module.position_ids = torch.arange(module.position_ids.shape[-1])[None]


def test_t5_xxl_of_two_layers_equals_transformers(tmp_path):
    require_memory(5)
    with torch.device("meta"):
        model = T5EncoderModel(T5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=2, num_heads=64, feed_forward_proj="gated-gelu", dropout_rate=0.0))
    write_weights([(key, value.shape) for key, value in model.named_parameters()], tmp_path / "weights.safetensors", 0.5)
    generator = torch.Generator().manual_seed(7)
    tensors = {"ids": torch.randint(0, 32128, (1, 77), generator=generator), "cotangent": torch.randn(1, 77, 4096, generator=generator)}
    chosen = ["shared.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "encoder.block.1.layer.1.DenseReluDense.wi_1.weight"]
    with safe_open(tmp_path / "weights.safetensors", "pt") as opened:
        model.load_state_dict({name: opened.get_tensor(name).float() for name, _ in model.named_parameters()}, assign=True, strict=False)
    model.tie_weights()
    config = {"model": json.loads(model.config.to_json_string(use_diff=False)), "weights": str(tmp_path / "weights.safetensors"), "gradients": chosen}
    out = run_probe("t5", tensors, config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    expected = model.eval()(tensors["ids"]).last_hidden_state
    (expected * tensors["cotangent"]).sum().backward()
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)
