# SPDX-License-Identifier: Apache-2.0
"""The peers by name, one file each. A peer's file has TITLE, PRECISIONS and train(unet, task) -> Training.

Precisions: fp32; bf16-autocast, float32 weights under torch.autocast as accelerate does it; bf16, frozen weights stored in bfloat16 and what
is trained in float32, as diffusers' scripts do it with --mixed_precision bf16.
"""

import importlib
from dataclasses import dataclass

MODULES = {
    "base": "bench.against.peers.base",
    "lora-attention": "bench.against.peers.lora_attention",
    "lora-all": "bench.against.peers.lora_all",
    "shira": "bench.against.peers.shira",
    "full": "bench.against.peers.full",
    "dense-selective": "bench.against.peers.dense_selective",
    "sara-python": "bench.against.peers.sara_python",
}


@dataclass(frozen=True)
class Task:
    budget: int  # weights to train; peers with a rank take the rank nearest to it
    adamw: str  # default: torch.optim.AdamW as scripts call it; fused: with fused=True
    precision: str


@dataclass
class Training:
    """What a peer trains. update() steps the optimizer and clears the gradients; None: there is none."""

    trained: int
    update: object = None
    rank: int | None = None
    input_gradients: bool = False  # the latents ask for a gradient
    autocast: bool = False


def peer(name):
    return importlib.import_module(MODULES[name])
