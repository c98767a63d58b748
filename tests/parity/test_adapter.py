# SPDX-License-Identifier: Apache-2.0
"""The adapter file, read by ten lines of numpy, and applied by the library."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from probe import ProbeError, run_probe
from test_method import LR, THRESHOLD, batches, network


def read_adapter(path):
    """key -> (flat indices, deltas)."""
    tensors, out = load_file(path), {}
    for name, gaps in tensors.items():
        if not name.endswith(".gaps"):
            continue
        key = name[: -len(".gaps")]
        ends = gaps < 255  # a byte below 255 ends a gap
        indices = np.cumsum(gaps.astype(np.int64) + ends)[ends] - 1
        out[key] = indices, tensors[key + ".delta"]
    return out


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def trained(request, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("adapter") / "adapter.safetensors")
    base, (x, y) = network(request.param), batches(request.param)
    out = run_probe("method", {**{f"w.{n}": w for n, w in base.items()}, "x": x, "y": y},
                    {"method": "sara", "lr": LR, "options": {"threshold": THRESHOLD}, "save": path})
    return path, base, {name: out[f"w.{name}"] for name in base}


def test_ten_lines_of_numpy_give_the_trained_weights(trained):
    path, base, tuned = trained
    adapter = read_adapter(path)
    assert sum(len(indices) for indices, _ in adapter.values()) == sum(int((w.double().abs() < THRESHOLD).sum()) for w in base.values())
    for name, weight in base.items():
        flat = weight.double().flatten().numpy().copy()
        indices, delta = adapter.get(name, (np.zeros(0, np.int64), np.zeros(0)))
        assert np.array_equal(indices, np.flatnonzero(np.abs(flat) < THRESHOLD)), name
        flat[indices] += delta
        expected = tuned[name].double().flatten()
        if weight.dtype is torch.bfloat16:
            assert torch.equal(torch.from_numpy(flat).to(torch.bfloat16), tuned[name].flatten()), name
        else:
            larger = torch.maximum(expected.abs(), weight.double().flatten().abs())
            assert ((torch.from_numpy(flat) - expected).abs() <= 2 * 2.0**-23 * larger).all(), name


def test_metadata_says_what_was_trained(trained):
    path, base, _ = trained
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    assert metadata["format"] == "sara-adapter" and metadata["version"] == "1"
    assert float(metadata["threshold"]) == THRESHOLD and metadata["lambda_rank"] == "0.005" and metadata["progressive_iter"] == "20"
    hashes = json.loads(metadata["base_hash"])
    assert set(hashes) == set(read_adapter(path)) and all(len(h) == 32 for h in hashes.values())


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0, -1.0])
def test_applying_at_a_scale_adds_scaled_deltas_and_removal_restores_the_base(trained, scale):
    path, base, _ = trained
    out = run_probe("adapter", base, {"adapters": [[path, scale]], "family": "test"})
    adapter = read_adapter(path)
    for name, weight in base.items():
        flat = weight.double().flatten()
        if name in adapter:
            indices, delta = adapter[name]
            flat[torch.from_numpy(indices)] += scale * torch.from_numpy(delta).double()
        if weight.dtype is torch.float32 or scale in (0.0, 1.0):
            assert torch.equal(out[name], flat.view_as(weight).to(weight.dtype)), name
        else:
            torch.testing.assert_close(out[name].double(), flat.view_as(weight), rtol=2.0**-8, atol=0)
        assert torch.equal(out[f"removed.{name}"], weight), name


def test_two_adapters_add_where_they_overlap(trained):
    path, base, _ = trained
    twice = run_probe("adapter", base, {"adapters": [[path, 0.75], [path, 0.25]], "family": "test"})
    once = run_probe("adapter", base, {"adapters": [[path, 1.0]], "family": "test"})
    for name in base:
        torch.testing.assert_close(twice[name], once[name], rtol=2.0**-7 if base[name].dtype is torch.bfloat16 else 1e-6, atol=1e-9)


def test_another_base_is_refused_by_name_unless_forced(trained):
    path, base, _ = trained
    other = dict(base)
    other["up.weight"] = base["up.weight"] + 1
    with pytest.raises(ProbeError, match="made for another base: up.weight differs"):
        run_probe("adapter", other, {"adapters": [[path, 1.0]], "family": "test"})
    with pytest.raises(ProbeError, match="another model family"):
        run_probe("adapter", base, {"adapters": [[path, 1.0]], "family": "sdxl"})
    run_probe("adapter", other, {"adapters": [[path, 1.0]], "family": "sdxl", "force": True})


@pytest.mark.parametrize("trained", [torch.float32], indirect=True, ids=["fp32"])
def test_an_adapter_of_fp32_moves_to_a_bf16_copy_when_forced(trained):
    path, base, _ = trained
    copy = {name: weight.bfloat16() for name, weight in base.items()}
    with pytest.raises(ProbeError, match="another base"):
        run_probe("adapter", copy, {"adapters": [[path, 1.0]], "family": "test"})
    out = run_probe("adapter", copy, {"adapters": [[path, 1.0]], "family": "test", "force": True})
    for name, (indices, delta) in read_adapter(path).items():
        moved = (out[name].double() - copy[name].double()).flatten()
        assert set(torch.nonzero(moved).flatten().tolist()) <= set(indices.tolist())
