# SPDX-License-Identifier: Apache-2.0
"""CLIPTextModel against transformers': last hidden state and gradients of all weights within 1e-4 relative."""

import json
import math

import pytest
import torch
from model_parity import assert_close, assert_gradients_close, randomize
from probe import ProbeError, run_probe
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

# transformers 5 registers the layers without the prefix that its files and ours carry.
PREFIX = "text_model."
SMALL = dict(vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4)
CASES = {
    "L form": (dict(SMALL, hidden_act="quick_gelu"), (2, 77)),
    "H form": (dict(SMALL, hidden_act="gelu", num_attention_heads=2, hidden_size=64), (3, 20)),
    "one token, another eps": (dict(SMALL, layer_norm_eps=1e-3, max_position_embeddings=5), (1, 1)),
}


def prefixed(model):
    names = dict(model.named_parameters())
    return {name if name.startswith(PREFIX) else PREFIX + name: value for name, value in names.items()}


def published_config(model):
    return json.loads(model.config.to_json_string(use_diff=False))


@pytest.mark.parametrize("case", CASES)
def test_hidden_state_and_all_gradients_equal_transformers(case, tmp_path):
    config, shape = CASES[case]
    model = randomize(CLIPTextModel(CLIPTextConfig(**config)), seed=6).train()
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(0, model.config.vocab_size, shape, generator=generator)
    cotangent = torch.randn(*shape, model.config.hidden_size, generator=generator)
    save_file({name: value.detach() for name, value in prefixed(model).items()}, tmp_path / "weights.safetensors")

    expected = model(ids).last_hidden_state
    (expected * cotangent).sum().backward()
    out = run_probe(
        "clip_text",
        {"ids": ids, "cotangent": cotangent},
        {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "gradients": True},
    )
    assert_close(out["output"], expected)
    assert_gradients_close(out, model, prefix="" if PREFIX in next(iter(dict(model.named_parameters()))) else PREFIX)


PROJECTED = dict(SMALL, hidden_act="gelu", projection_dim=24, bos_token_id=96, eos_token_id=97, pad_token_id=0)


@pytest.mark.parametrize("eos", [97, 2], ids=["end token", "files with the old id"])
@pytest.mark.parametrize("state", ["pooled", "penultimate", "last"])
def test_states_with_projection_and_all_gradients_equal_transformers(state, eos, tmp_path):
    model = randomize(CLIPTextModelWithProjection(CLIPTextConfig(**dict(PROJECTED, eos_token_id=eos))), seed=6).train()
    ids = torch.tensor([[96, 5, 6, 97, 97, 97], [96, 7, 97, 0, 0, 0], [96, 8, 9, 10, 11, 97]])
    save_file({name: value.detach() for name, value in model.named_parameters()}, tmp_path / "weights.safetensors")

    out = model(ids, output_hidden_states=True)
    expected = {"pooled": out.text_embeds, "penultimate": out.hidden_states[-2], "last": out.last_hidden_state}[state]
    cotangent = torch.randn(expected.shape, generator=torch.Generator().manual_seed(7))
    (expected * cotangent).sum().backward()
    config = dict(published_config(model), architectures=["CLIPTextModelWithProjection"])
    out = run_probe(
        "clip_text",
        {"ids": ids, "cotangent": cotangent},
        {"model": config, "weights": str(tmp_path / "weights.safetensors"), "gradients": True, "state": state},
    )
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)


def test_a_projection_needs_the_end_token():
    config = dict(published_config(CLIPTextModel(CLIPTextConfig(**PROJECTED))), architectures=["CLIPTextModelWithProjection"])
    with pytest.raises(ProbeError, match="no end token 97"):
        run_probe("clip_text", {"ids": torch.tensor([[96, 5, 97], [96, 5, 6]]), "cotangent": torch.zeros(1)}, {"model": config, "seed": 1})


def test_full_clip_l_with_its_fresh_weights_equals_transformers(tmp_path):
    config = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu"
    )
    ids = torch.randint(0, 49408, (1, 77), generator=torch.Generator().manual_seed(8))
    file = tmp_path / "weights.safetensors"
    out = run_probe(
        "clip_text",
        {"ids": ids, "cotangent": torch.zeros(1)},
        {"model": "clip_l", "seed": 9, "save_weights": str(file)},
    )
    with torch.device("meta"):
        model = CLIPTextModel(config)
    weights = load_file(file)
    assert set(weights) == set(prefixed(model))
    assert sum(value.numel() for value in weights.values()) == 123_060_480
    reference = CLIPTextModel(config).eval()
    with torch.no_grad():
        # The spread of every fresh weight is the one that transformers draws.
        for name, value in prefixed(reference).items():
            assert value.shape == weights[name].shape
            if value.numel() >= 10_000:
                assert math.isclose(weights[name].std().item(), value.std().item(), rel_tol=0.03), name
            value.copy_(weights[name])
        assert_close(out["output"], reference(ids).last_hidden_state)


def test_a_token_outside_the_vocabulary_is_refused():
    config = {"model": published_config(CLIPTextModel(CLIPTextConfig(**SMALL))), "seed": 1}
    with pytest.raises(ProbeError, match="outside the vocabulary.*expected 0 to 98"):
        run_probe("clip_text", {"ids": torch.tensor([[1, 99]]), "cotangent": torch.zeros(1)}, config)
