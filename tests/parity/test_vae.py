# SPDX-License-Identifier: Apache-2.0
"""AutoencoderKL against diffusers': both directions and gradients of all weights within 1e-4 relative."""

import json

import pytest
import torch
from diffusers import AutoencoderKL
from model_parity import assert_close, assert_gradients_close, randomize
from probe import run_probe
from safetensors.torch import save_file


def form(blocks, **others):
    return dict(
        down_block_types=("DownEncoderBlock2D",) * len(blocks),
        up_block_types=("UpDecoderBlock2D",) * len(blocks),
        block_out_channels=blocks,
        **others,
    )


CASES = {
    "SD form, small": (form((16, 32, 48), layers_per_block=2, norm_num_groups=8), (2, 24, 16)),
    "odd sizes": (form((16, 32), layers_per_block=1, norm_num_groups=16), (1, 19, 14)),
    "SD3 form: 16 latent channels, no quantisation convolutions": (
        form(
            (32, 32), latent_channels=16, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609,
            scaling_factor=1.5305,
        ),
        (1, 16, 16),
    ),
    "no attention in the middle": (form((16, 16), norm_num_groups=4, mid_block_add_attention=False), (1, 8, 8)),
    "SD as published": (form((128, 256, 512, 512), layers_per_block=2, sample_size=512), (1, 32, 32)),
}


@pytest.mark.parametrize("case, scale", [(case, 1) for case in CASES] + [("SD form, small", 0.003)])
def test_encode_decode_and_all_gradients_equal_diffusers(case, scale, tmp_path):
    config, (batch, height, width) = CASES[case]
    model = randomize(AutoencoderKL(**config), seed=3, scale=scale)
    factor, channels = 2 ** (len(config["block_out_channels"]) - 1), model.config.latent_channels
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    generator = torch.Generator().manual_seed(4)
    latent_shape = (batch, channels, height // factor, width // factor)
    tensors = {
        "pixels": torch.randn(batch, 3, height, width, generator=generator),
        "noise": torch.randn(latent_shape, generator=generator),
        "latent": torch.randn(latent_shape, generator=generator),
        "sample_cotangent": torch.randn(latent_shape, generator=generator),
        "decoded_cotangent": torch.randn(
            batch, 3, factor * latent_shape[2], factor * latent_shape[3], generator=generator
        ),
    }

    posterior = model.encode(tensors["pixels"]).latent_dist
    sample = posterior.mean + posterior.std * tensors["noise"]
    decoded = model.decode(tensors["latent"]).sample
    ((sample * tensors["sample_cotangent"]).sum() + (decoded * tensors["decoded_cotangent"]).sum()).backward()
    model_config = "sd" if case == "SD as published" else json.loads(model.to_json_string())
    out = run_probe(
        "vae",
        tensors,
        {"model": model_config, "weights": str(tmp_path / "weights.safetensors"), "gradients": True},
    )
    assert_close(out["mean"], posterior.mean)
    assert_close(out["logvar"], posterior.logvar)
    assert_close(out["sample"], sample)
    assert_close(out["decoded"], decoded)
    assert_gradients_close(out, model)


def test_the_log_variance_is_clamped_as_in_diffusers(tmp_path):
    model = randomize(AutoencoderKL(**form((16,), norm_num_groups=4)), seed=5)
    with torch.no_grad():
        model.quant_conv.bias[4:] = torch.tensor([-100.0, 100.0, -31.0, 0.0])
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    pixels, latent = torch.randn(1, 3, 8, 8), torch.zeros(1, 4, 8, 8)
    tensors = {"pixels": pixels, "latent": latent, "noise": latent, "sample_cotangent": latent}
    tensors["decoded_cotangent"] = torch.zeros(1, 3, 8, 8)
    config = {"model": json.loads(model.to_json_string()), "weights": str(tmp_path / "weights.safetensors")}
    out = run_probe("vae", tensors, config)
    assert out["logvar"].min() == -30 and out["logvar"].max() == 20
    assert_close(out["logvar"], model.encode(pixels).latent_dist.logvar)
