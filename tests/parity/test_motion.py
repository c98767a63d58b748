# SPDX-License-Identifier: Apache-2.0
"""UNetMotionModel and MotionAdapter against diffusers': outputs and gradients of all weights within 1e-4 relative."""

import json
import resource

import pytest
import torch
from diffusers import MotionAdapter, UNetMotionModel
from model_parity import assert_close, assert_gradients_close, randomize
from probe import ProbeError, run_probe
from safetensors.torch import load_file, save_file

SMALL = dict(
    block_out_channels=(32, 64),
    down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
    up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"),
    num_attention_heads=4,
    cross_attention_dim=24,
    norm_num_groups=8,
    layers_per_block=1,
    motion_num_attention_heads=4,
)
V1 = dict(SMALL, motion_max_seq_length=24, use_motion_mid_block=False)
V2 = dict(SMALL, motion_max_seq_length=32, use_motion_mid_block=True)
V3 = dict(SMALL, motion_max_seq_length=32, use_motion_mid_block=False)
CASES = {  # clips, frames, height, width
    "v1": (V1, (2, 3, 8, 8)),
    "v2": (V2, (2, 4, 8, 8)),
    "v2, odd sizes": (V2, (1, 5, 7, 9)),
    "v3": (V3, (1, 6, 8, 4)),
    "v1, as many frames as it knows": (V1, (1, 24, 4, 4)),
    "one frame": (V2, (2, 1, 8, 8)),
    "two layers a block, other heads, several temporal layers, linear projections": (
        dict(
            V2,
            block_out_channels=(16, 32, 64),
            down_block_types=("CrossAttnDownBlockMotion", "CrossAttnDownBlockMotion", "DownBlockMotion"),
            up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion", "CrossAttnUpBlockMotion"),
            layers_per_block=2,
            num_attention_heads=(2, 4, 8),
            motion_num_attention_heads=(4, 2, 8),
            temporal_transformer_layers_per_mid_block=2,
            use_linear_projection=True,
        ),
        (1, 3, 8, 12),
    ),
}


def inputs(config, clips, frames, height, width):
    generator = torch.Generator().manual_seed(0)
    return {
        "sample": torch.randn(clips, config.in_channels, frames, height, width, generator=generator),
        "timestep": torch.tensor([1, 977][:clips]),
        "text": torch.randn(clips, 7, config.cross_attention_dim, generator=generator),
        "cotangent": torch.randn(clips, config.out_channels, frames, height, width, generator=generator),
    }


def answer(model, tensors):
    frames = tensors["sample"].shape[2]
    return model(tensors["sample"], tensors["timestep"], tensors["text"].repeat_interleave(frames, 0)).sample


def published_config(model):
    return json.loads(model.to_json_string())


@pytest.mark.parametrize("scale", [1, 0.003], ids=["ordinary weights", "variances near eps"])
@pytest.mark.parametrize("case", CASES)
def test_output_and_all_gradients_equal_diffusers(case, scale, tmp_path):
    config, shape = CASES[case]
    model = randomize(UNetMotionModel(**config), seed=1, scale=scale)
    for name, table in model.named_buffers():
        assert name.endswith("pos_embed.pe")
        table.normal_(generator=torch.Generator().manual_seed(2))  # the file's table counts, whatever it holds
    tensors = inputs(model.config, *shape)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    expected = answer(model, tensors)
    (expected * tensors["cotangent"]).sum().backward()
    config = {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "gradients": True}
    out = run_probe("unet", tensors, config)
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)


def test_a_fresh_table_of_positions_is_that_of_diffusers(tmp_path):
    model = UNetMotionModel(**V1)
    tensors = inputs(model.config, 1, 2, 4, 4)
    run_probe("unet", tensors, {"model": published_config(model), "seed": 3, "save_weights": str(tmp_path / "w.safetensors")})
    ours = load_file(tmp_path / "w.safetensors")
    for name, table in model.named_buffers():
        torch.testing.assert_close(ours[name], table, rtol=0, atol=1e-6)


def test_bfloat16_output_equals_diffusers_up_to_its_rounding(tmp_path):
    model = randomize(UNetMotionModel(**V2), seed=2).to(torch.bfloat16)
    tensors = inputs(model.config, 2, 4, 8, 8)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    with torch.no_grad():
        rounded = {name: tensors[name].bfloat16() for name in ("sample", "text")}
        in_bf16 = answer(model, dict(tensors, **rounded))
        in_fp32 = answer(model.float(), dict(tensors, **{name: value.float() for name, value in rounded.items()}))
    out = run_probe("unet", tensors, {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "dtype": "bfloat16"})
    assert out["output"].dtype == torch.bfloat16
    scale = in_fp32.norm()
    theirs, ours = (in_bf16.float() - in_fp32).norm() / scale, (out["output"].float() - in_fp32).norm() / scale
    assert ours < 1.5 * theirs + 1e-3, f"ours {ours:.4f}, diffusers {theirs:.4f}"


PUBLISHED = {
    "v1": (dict(motion_max_seq_length=24, use_motion_mid_block=False), 520, 417_137_600),
    "v2": (dict(motion_max_seq_length=32, use_motion_mid_block=True), 546, 453_209_280),
    "v3": (dict(motion_max_seq_length=32, use_motion_mid_block=False), 520, 417_137_600),
}
SD15 = dict(sample_size=64, cross_attention_dim=768, num_attention_heads=8)


@pytest.mark.parametrize("version", PUBLISHED)
def test_the_published_names_are_those_of_diffusers(version):
    """Nothing holds the weights: both sides know only their shapes."""
    form, tensors, weights = PUBLISHED[version]
    with torch.device("meta"):
        adapter, unet = MotionAdapter(**form), UNetMotionModel(**SD15, **form)
    assert len(list(adapter.parameters())) == tensors and sum(value.numel() for value in adapter.parameters()) == weights
    assert len(list(unet.parameters())) == 686 + tensors and sum(value.numel() for value in unet.parameters()) == 859_520_964 + weights
    for model in (adapter, unet):
        shapes = run_probe("shapes", config={"class": type(model).__name__, "model": published_config(model)})
        assert {name: value.tolist() for name, value in shapes.items()} == {name: list(value.shape) for name, value in model.named_parameters()}


CHOSEN = [
    "conv_in.weight",
    "down_blocks.0.motion_modules.0.proj_in.weight",
    "down_blocks.3.motion_modules.1.transformer_blocks.0.attn1.to_q.weight",
    "mid_block.motion_modules.0.transformer_blocks.0.norm2.weight",
    "up_blocks.3.motion_modules.2.transformer_blocks.0.ff.net.2.weight",
]


def test_the_full_published_configuration_equals_diffusers(tmp_path):
    """One process at a time holds the 1.31 G weights: the probe makes and writes them, diffusers maps the file."""
    with torch.device("meta"):
        model = UNetMotionModel(**SD15)
    tensors = inputs(model.config, 1, 2, 8, 8)
    file = tmp_path / "weights.safetensors"
    try:
        out = run_probe("unet", tensors, {"model": "animatediff", "seed": 5, "save_weights": str(file), "gradients": CHOSEN})
        model.load_state_dict(load_file(file), assign=True, strict=True)
        for key, parameter in model.named_parameters():
            parameter.requires_grad_(key in CHOSEN)
        expected = answer(model, tensors)
        (expected * tensors["cotangent"]).sum().backward()
    finally:
        file.unlink(missing_ok=True)
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)
    peak_gb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6
    assert peak_gb < 13


def test_wrong_requests_are_refused_in_one_line():
    model = UNetMotionModel(**V1)

    def attempt(config=None, **changes):
        tensors = dict(inputs(model.config, 2, 3, 8, 8), **changes)
        with pytest.raises(ProbeError) as error:
            run_probe("unet", tensors, {"model": dict(published_config(model), **(config or {})), "seed": 1})
        return str(error.value)

    assert "sample has the wrong shape (expected [B, 4, frames, H, W]" in attempt(sample=torch.zeros(2, 4, 8, 8))
    assert "know 24 frames, got 25" in attempt(sample=torch.zeros(2, 4, 25, 4, 4))
    assert "encoder_hidden_states has the wrong shape (expected [2, T, 24]" in attempt(text=torch.zeros(6, 7, 24))
    assert '"motion_num_attention_heads"' in attempt(config=dict(motion_num_attention_heads=[4]))
    assert '"mid_block_layers"' in attempt(config=dict(mid_block_layers=2))
    assert '"encoder_hid_dim_type"' in attempt(config=dict(encoder_hid_dim_type="ip_image_proj"))
