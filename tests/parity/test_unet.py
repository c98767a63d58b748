# SPDX-License-Identifier: Apache-2.0
"""UNet2DConditionModel against diffusers': outputs and gradients of all weights within 1e-4 relative."""

import json
import resource

import pytest
import torch
from diffusers import UNet2DConditionModel
from model_parity import assert_close, assert_gradients_close, randomize
from probe import run_probe
from safetensors.torch import load_file, save_file

SD1_FORM = dict(
    block_out_channels=(32, 64),
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    attention_head_dim=4,
    cross_attention_dim=24,
    norm_num_groups=8,
)
SD2_FORM = dict(
    block_out_channels=(32, 64, 96),
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    attention_head_dim=(2, 4, 6),
    cross_attention_dim=40,
    norm_num_groups=16,
    use_linear_projection=True,
    upcast_attention=True,
)
SDXL_FORM = dict(
    block_out_channels=(16, 32, 64),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=(1, 2, 3),
    attention_head_dim=(2, 4, 8),
    cross_attention_dim=40,
    norm_num_groups=8,
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=10,
    projection_class_embeddings_input_dim=6 * 10 + 24,
)
CASES = {
    "SDXL form": (SDXL_FORM, (2, 16, 16)),
    "SDXL form, odd sizes": (SDXL_FORM, (3, 9, 14)),
    "SD1 form": (SD1_FORM, (2, 16, 16)),
    "SD1 form, odd sizes": (SD1_FORM, (1, 7, 9)),
    "SD2 form": (SD2_FORM, (2, 16, 8)),
    "SD2 form, odd sizes": (SD2_FORM, (3, 13, 10)),
    "four blocks as published, one latent pixel at the bottom": (
        dict(block_out_channels=(32, 32, 64, 64), attention_head_dim=8, cross_attention_dim=16),
        (1, 8, 8),
    ),
    "no attention outside, several transformer layers, other time embedding, other padding": (
        dict(
            block_out_channels=(32, 48, 64),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 3),
            layers_per_block=1,
            attention_head_dim=(2, 3, 4),
            cross_attention_dim=24,
            norm_num_groups=16,
            flip_sin_to_cos=False,
            freq_shift=1,
            center_input_sample=True,
            downsample_padding=0,
        ),
        (2, 11, 14),
    ),
    "one block, other kernels, channels, groups and eps": (
        dict(
            in_channels=3,
            out_channels=5,
            block_out_channels=(24,),
            down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",),
            attention_head_dim=3,
            cross_attention_dim=8,
            norm_num_groups=6,
            norm_eps=1e-3,
            conv_in_kernel=5,
            conv_out_kernel=1,
        ),
        (2, 5, 6),
    ),
    "layers differ per block": (
        dict(SD1_FORM, layers_per_block=(1, 3), down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2),
        (1, 8, 8),
    ),
}


def inputs(model, batch, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    added = {}
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added["pooled"] = torch.randn(batch, pooled, generator=generator)
        added["time_ids"] = torch.randint(0, 2000, (batch, 6), generator=generator).float()
    return added | {
        "sample": torch.randn(batch, config.in_channels, height, width, generator=generator),
        "timestep": torch.tensor([3, 977, 500][:batch]),
        "text": torch.randn(batch, 7, config.cross_attention_dim, generator=generator),
        "cotangent": torch.randn(batch, config.out_channels, height, width, generator=generator),
    }


def drawn(model, tensors):
    """What diffusers answers."""
    added = {"text_embeds": tensors["pooled"], "time_ids": tensors["time_ids"]} if "pooled" in tensors else None
    return model(tensors["sample"], tensors["timestep"], tensors["text"], added_cond_kwargs=added).sample


def published_config(model):
    return json.loads(model.to_json_string())


@pytest.mark.parametrize("scale", [1, 0.003], ids=["ordinary weights", "variances near eps"])
@pytest.mark.parametrize("case", CASES)
def test_output_and_all_gradients_equal_diffusers(case, scale, tmp_path):
    config, (batch, height, width) = CASES[case]
    model = randomize(UNet2DConditionModel(**config), seed=1, scale=scale)
    tensors = inputs(model, batch, height, width)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")

    expected = drawn(model, tensors)
    (expected * tensors["cotangent"]).sum().backward()
    out = run_probe(
        "unet",
        tensors,
        {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "gradients": True},
    )
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)


@pytest.mark.parametrize("form", [SD1_FORM, dict(SD2_FORM, upcast_attention=False), SDXL_FORM], ids=["SD1", "SD2", "SDXL"])
def test_bfloat16_output_equals_diffusers_up_to_its_rounding(form, tmp_path):
    model = randomize(UNet2DConditionModel(**form), seed=2).to(torch.bfloat16)
    tensors = inputs(model, 2, 16, 16)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    with torch.no_grad():
        rounded = {name: tensors[name].to(torch.bfloat16) for name in ("sample", "text", "pooled") if name in tensors}
        in_bf16 = drawn(model, dict(tensors, **rounded))
        model.float()
        in_fp32 = drawn(model, dict(tensors, **{name: value.float() for name, value in rounded.items()}))
    out = run_probe(
        "unet",
        tensors,
        {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "dtype": "bfloat16"},
    )
    assert out["output"].dtype == torch.bfloat16
    # Both bf16 runs are the fp32 result plus rounding; ours must not be further from it than theirs, give or take.
    scale = in_fp32.norm()
    theirs, ours = (in_bf16.float() - in_fp32).norm() / scale, (out["output"].float() - in_fp32).norm() / scale
    assert ours < 1.5 * theirs + 1e-3, f"ours {ours:.4f}, diffusers {theirs:.4f}"


def test_the_names_of_sdxl_are_those_of_diffusers(tmp_path):
    """Nothing holds the 2.57 G weights: both sides know only their shapes."""
    published = dict(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=SDXL_FORM["down_block_types"],
        up_block_types=SDXL_FORM["up_block_types"],
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    with torch.device("meta"):
        model = UNet2DConditionModel(**published)
    shapes = run_probe("shapes", config={"class": "UNet2DConditionModel", "model": published_config(model)})
    expected = {name: list(value.shape) for name, value in model.named_parameters()}
    assert len(expected) == 1680
    assert {name: value.tolist() for name, value in shapes.items()} == expected


PUBLISHED = {
    "sd15": dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
    "sd20": dict(
        sample_size=64, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
    ),
}
CHOSEN = [
    "conv_in.weight",
    "time_embedding.linear_1.weight",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "mid_block.attentions.0.proj_in.weight",
    "up_blocks.3.resnets.2.conv_shortcut.weight",
    "conv_norm_out.weight",
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_full_published_configuration_equals_diffusers(name, tmp_path):
    """One process at a time holds the 860 M weights: the probe makes and writes them, diffusers maps the file."""
    with torch.device("meta"):
        model = UNet2DConditionModel(**PUBLISHED[name])
    tensors = inputs(model, 1, 16, 16)
    tensors["timestep"] = torch.tensor([731])
    file = tmp_path / "weights.safetensors"
    try:
        out = run_probe("unet", tensors, {"model": name, "seed": 5, "save_weights": str(file), "gradients": CHOSEN})
        # assign: the parameters become the mapped file; strict: same names and shapes, 686 of them.
        model.load_state_dict(load_file(file), assign=True, strict=True)
        for key, parameter in model.named_parameters():
            parameter.requires_grad_(key in CHOSEN)
        expected = model(tensors["sample"], tensors["timestep"], tensors["text"]).sample
        (expected * tensors["cotangent"]).sum().backward()
    finally:
        file.unlink(missing_ok=True)
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)
    peak_gb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6
    assert peak_gb < 9
