# SPDX-License-Identifier: Apache-2.0
"""Small runs of the pitfall tests, and what they leave."""

import json

import numpy as np
import torch
from probe import run_probe
from safetensors import safe_open
from safetensors.torch import load_file

UNET = "unet/diffusion_pytorch_model.safetensors"
LR, THRESHOLD = 2e-3, 0.02


def network(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv.weight": (8, 3, 3, 3), "conv.bias": (8,), "norm.weight": (8,), "norm.bias": (8,), "up.weight": (24, 32),
              "up.bias": (24,), "down.weight": (4, 24), "down.bias": (4,)}  # fmt: skip
    return {name: (0.1 * torch.randn(shape, generator=generator)).to(dtype) for name, shape in shapes.items()}


def probe_train(base, steps, path=None, **more):
    """Trains the probe's network for some steps; its deltas go to `path`."""
    generator = torch.Generator().manual_seed(1)
    dtype = base["conv.weight"].dtype
    data = {"x": torch.randn(steps, 4, 3, 8, 8, generator=generator).to(dtype), "y": torch.randn(steps, 4, 4, generator=generator)}
    options = {"threshold": THRESHOLD, **more.pop("options", {})}
    config = {"method": "sara", "lr": LR, "options": options, **more, **({"save": str(path)} if path else {})}
    return run_probe("method", {**{f"w.{n}": w for n, w in base.items()}, **data}, config)


def adapter_tensors(path):
    """key -> (flat indices, deltas)."""
    tensors, out = load_file(path), {}
    for name, gaps in tensors.items():
        if name.endswith(".gaps"):
            ends = gaps.numpy() < 255
            indices = np.cumsum(gaps.numpy().astype(np.int64) + ends)[ends] - 1
            out[name[: -len(".gaps")]] = torch.from_numpy(indices), tensors[name[: -len(".gaps")] + ".delta"]
    return out


def metadata(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def log(output):
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def same(one, other):
    one, other = load_file(one / "adapter.safetensors"), load_file(other / "adapter.safetensors")
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
