# SPDX-License-Identifier: Apache-2.0
"""SD3Transformer2DModel against diffusers': outputs and gradients of all weights within 1e-4 relative."""

import json

import pytest
import torch
from diffusers import SD3Transformer2DModel
from model_parity import assert_close, assert_gradients_close, randomize
from probe import ProbeError, run_probe
from safetensors.torch import save_file

SMALL = dict(
    sample_size=16, num_layers=3, attention_head_dim=8, num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=24,
    pooled_projection_dim=20, in_channels=4, out_channels=4, pos_embed_max_size=12,
)  # fmt: skip
CASES = {
    "3.0 form": (SMALL, (2, 16, 16)),
    "3.0 form, wide and as large as the table": (SMALL, (1, 6, 24)),
    "3.5 medium form: QK-norm, dual attention": (dict(SMALL, qk_norm="rms_norm", dual_attention_layers=(0, 1)), (2, 10, 16)),
    "3.5 large form: QK-norm": (dict(SMALL, qk_norm="rms_norm", num_layers=2), (2, 8, 8)),
    "dual attention in the last block, other patches and channels": (
        dict(SMALL, dual_attention_layers=(2,), patch_size=4, in_channels=3, out_channels=5, pos_embed_max_size=5),
        (3, 8, 12),
    ),
    "one block": (dict(SMALL, num_layers=1), (1, 4, 4)),
}


def inputs(config, batch, height, width):
    generator = torch.Generator().manual_seed(0)
    return {
        "sample": torch.randn(batch, config.in_channels, height, width, generator=generator),
        "timestep": torch.tensor([1.5, 977.25, 500.0][:batch]),
        "text": torch.randn(batch, 7, config.joint_attention_dim, generator=generator),
        "pooled": torch.randn(batch, config.pooled_projection_dim, generator=generator),
        "cotangent": torch.randn(batch, config.out_channels, height, width, generator=generator),
    }


def answer(model, tensors):
    return model(
        hidden_states=tensors["sample"], encoder_hidden_states=tensors["text"], pooled_projections=tensors["pooled"], timestep=tensors["timestep"]
    ).sample


def published_config(model):
    return json.loads(model.to_json_string())


# With weights of scale 1 the attention without QK-norm saturates, and PyTorch itself is 4e-4 off its own fp64 answer.
@pytest.mark.parametrize("scale", [0.5, 0.003], ids=["ordinary weights", "variances near eps"])
@pytest.mark.parametrize("case", CASES)
def test_output_and_all_gradients_equal_diffusers(case, scale, tmp_path):
    config, shape = CASES[case]
    model = randomize(SD3Transformer2DModel(**config), seed=1, scale=scale)
    model.pos_embed.pos_embed.normal_(generator=torch.Generator().manual_seed(2))  # the file's table counts, whatever it holds
    tensors = inputs(model.config, *shape)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    expected = answer(model, tensors)
    (expected * tensors["cotangent"]).sum().backward()
    config = {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "gradients": True}
    out = run_probe("mmdit", tensors, config)
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)


def test_bfloat16_output_equals_diffusers_up_to_its_rounding(tmp_path):
    model = randomize(SD3Transformer2DModel(**CASES["3.5 medium form: QK-norm, dual attention"][0]), seed=2).to(torch.bfloat16)
    tensors = inputs(model.config, 2, 8, 8)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    with torch.no_grad():
        rounded = {name: tensors[name].bfloat16() for name in ("sample", "text", "pooled")}
        in_bf16 = answer(model, dict(tensors, **rounded))
        in_fp32 = answer(model.float(), dict(tensors, **{name: value.float() for name, value in rounded.items()}))
    out = run_probe("mmdit", tensors, {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "dtype": "bfloat16"})
    assert out["output"].dtype == torch.bfloat16
    scale = in_fp32.norm()
    theirs, ours = (in_bf16.float() - in_fp32).norm() / scale, (out["output"].float() - in_fp32).norm() / scale
    assert ours < 1.5 * theirs + 1e-3, f"ours {ours:.4f}, diffusers {theirs:.4f}"


@pytest.mark.parametrize("side, table", [(16, 12), (128, 20)])
def test_a_fresh_table_of_positions_is_that_of_diffusers(side, table):
    model = SD3Transformer2DModel(**dict(SMALL, sample_size=side, pos_embed_max_size=table))
    tensors = inputs(model.config, 1, 8, 8)
    out = run_probe("mmdit", tensors, {"model": published_config(model), "seed": 3})
    torch.testing.assert_close(out["table"], model.pos_embed.pos_embed, rtol=0, atol=1e-6)


PUBLISHED = {
    "3.0 medium": (dict(num_layers=24, pos_embed_max_size=192), 682, 2_028_328_000),
    "3.5 medium": (dict(num_layers=24, pos_embed_max_size=384, qk_norm="rms_norm", dual_attention_layers=tuple(range(13))), 908, 2_243_171_520),
    "3.5 large": (dict(num_layers=38, pos_embed_max_size=192, qk_norm="rms_norm"), 1226, 8_056_627_520),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_names_are_those_of_diffusers(name):
    """Nothing holds the weights: both sides know only their shapes."""
    form, tensors, weights = PUBLISHED[name]
    layers = form["num_layers"]
    with torch.device("meta"):
        model = SD3Transformer2DModel(**dict(form, pos_embed_max_size=4), num_attention_heads=layers, caption_projection_dim=64 * layers)
    shapes = run_probe("shapes", config={"class": "SD3Transformer2DModel", "model": dict(published_config(model))})
    expected = {name: list(value.shape) for name, value in model.named_parameters()}
    assert len(expected) == tensors and sum(value.numel() for value in model.parameters()) == weights
    assert {name: value.tolist() for name, value in shapes.items()} == expected


def test_wrong_requests_are_refused_in_one_line():
    model = SD3Transformer2DModel(**SMALL)

    def attempt(config=None, **changes):
        tensors = dict(inputs(model.config, 2, 8, 8), **changes)
        with pytest.raises(ProbeError) as error:
            run_probe("mmdit", tensors, {"model": dict(published_config(model), **(config or {})), "seed": 1})
        return str(error.value)

    assert "sample has the wrong shape (expected [B, 4, H, W]" in attempt(sample=torch.zeros(2, 3, 8, 8))
    assert "pooled text has the wrong shape (expected [2, 20]" in attempt(pooled=torch.zeros(2, 21))
    assert "expected multiples of 2 up to 24" in attempt(sample=torch.zeros(2, 4, 7, 8))
    assert "expected multiples of 2 up to 24" in attempt(sample=torch.zeros(2, 4, 26, 8))
    assert '"qk_norm"' in attempt(config=dict(qk_norm="layer_norm"))
    assert '"caption_projection_dim"' in attempt(config=dict(caption_projection_dim=36))
    assert '"dual_attention_layers"' in attempt(config=dict(dual_attention_layers=[3]))
    assert '"dual_attention_layers"' in attempt(config=dict(dual_attention_layers=[-1]))
