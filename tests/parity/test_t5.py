# SPDX-License-Identifier: Apache-2.0
"""T5EncoderModel against transformers': last hidden state and gradients of all weights within 1e-4 relative."""

import json

import pytest
import torch
from model_parity import assert_close, assert_gradients_close, randomize
from probe import ProbeError, run_probe
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel

SMALL = dict(vocab_size=99, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4, feed_forward_proj="gated-gelu", dropout_rate=0.0)
CASES = {
    "v1.1 form": (SMALL, (2, 20)),
    "past the largest distance": (dict(SMALL, num_layers=1), (1, 300)),
    "heads wider than the model, other buckets and eps": (
        dict(SMALL, d_kv=16, relative_attention_num_buckets=12, relative_attention_max_distance=40, layer_norm_epsilon=1e-3),
        (3, 77),
    ),
    "one token": (SMALL, (1, 1)),
}


def published_config(model):
    return json.loads(model.config.to_json_string(use_diff=False))


def weights_of(model):
    return {name: value.detach() for name, value in model.named_parameters()}


@pytest.mark.parametrize("case", CASES)
def test_hidden_state_and_all_gradients_equal_transformers(case, tmp_path):
    config, shape = CASES[case]
    model = randomize(T5EncoderModel(T5Config(**config)), seed=6)
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(0, model.config.vocab_size, shape, generator=generator)
    cotangent = torch.randn(*shape, model.config.d_model, generator=generator)
    save_file(weights_of(model), tmp_path / "weights.safetensors")
    expected = model(ids).last_hidden_state
    (expected * cotangent).sum().backward()
    config = {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "gradients": True}
    out = run_probe("t5", {"ids": ids, "cotangent": cotangent}, config)
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)


def test_xxl_has_the_published_names():
    config = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu")
    with torch.device("meta"):
        model = T5EncoderModel(config)
    assert sum(value.numel() for value in model.parameters()) == 4_762_310_656
    shapes = run_probe("shapes", config={"class": "T5EncoderModel", "model": published_config(model)})
    assert {name: value.tolist() for name, value in shapes.items()} == {name: list(value.shape) for name, value in model.named_parameters()}


def test_wrong_requests_are_refused():
    config = published_config(T5EncoderModel(T5Config(**SMALL)))
    tensors = {"ids": torch.tensor([[1, 99]]), "cotangent": torch.zeros(1)}
    with pytest.raises(ProbeError, match="outside the vocabulary.*expected 0 to 98"):
        run_probe("t5", tensors, {"model": config, "seed": 1})
    with pytest.raises(ProbeError, match='"feed_forward_proj"'):
        run_probe("t5", tensors, {"model": dict(config, feed_forward_proj="relu"), "seed": 1})
    del config["feed_forward_proj"]
    with pytest.raises(ProbeError, match='"feed_forward_proj" is missing'):
        run_probe("t5", tensors, {"model": config, "seed": 1})
