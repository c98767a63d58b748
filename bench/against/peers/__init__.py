# SPDX-License-Identifier: Apache-2.0
"""The peers by name, one file each. The file of lora-all is lora_all.py; it has train(unet, task) -> Training.

Precisions: fp32; bf16-autocast, float32 weights under torch.autocast as accelerate does it; bf16, frozen weights stored in bfloat16 and what
is trained in float32, as diffusers' scripts do it with --mixed_precision bf16.
"""

import importlib
from dataclasses import dataclass

@dataclass(frozen=True)
class Peer:
    title: str
    precisions: tuple


EVERY = ("fp32", "bf16-autocast", "bf16")
FP32_WEIGHTS = ("fp32", "bf16-autocast")

# The order is that of a round and of the tables.
PEERS = {
    "base": Peer("forward + input gradients (nothing trained)", EVERY),
    "lora-attention": Peer("PEFT LoRA, attention only", EVERY),
    "lora-all": Peer("PEFT LoRA, all linears and convolutions", EVERY),
    "shira": Peer("PEFT SHiRA, all linears", FP32_WEIGHTS),
    "full": Peer("full AdamW", FP32_WEIGHTS),
    "dense-selective": Peer("dense selective tuning (LT-SFT style)", FP32_WEIGHTS),
    "sara-python": Peer("sara.AdamW on diffusers' UNet", EVERY),
}


@dataclass(frozen=True)
class Task:
    budget: int  # weights to train
    adamw: str  # default: torch.optim.AdamW as scripts call it; fused: with fused=True
    precision: str
    rank: int | None = None  # of LoRA and SHiRA; None: the one that trains nearest to the budget


@dataclass
class Training:
    """What a peer trains. update() steps the optimizer and clears the gradients; None: there is none."""

    trained: int
    update: object = None
    rank: int | None = None
    input_gradients: bool = False  # the latents ask for a gradient
    autocast: bool = False


def train(name, unet, task):
    """Imports torch and the peer's library: only a worker calls it."""
    return importlib.import_module(f"bench.against.peers.{name.replace('-', '_')}").train(unet, task)
