# SPDX-License-Identifier: Apache-2.0
"""The peers by name, one file each. The file of lora-all is lora_all.py; it has PRECISIONS and train(unet, task) -> Training.

Precisions: fp32; bf16-autocast, float32 weights under torch.autocast as accelerate does it; bf16, frozen weights stored in bfloat16 and what
is trained in float32, as diffusers' scripts do it with --mixed_precision bf16.
"""

import importlib
from dataclasses import dataclass

# The order is that of a round and of the tables.
TITLES = {
    "base": "forward + input gradients (nothing trained)",
    "lora-attention": "PEFT LoRA, attention only",
    "lora-all": "PEFT LoRA, all linears and convolutions",
    "shira": "PEFT SHiRA, all linears",
    "full": "full AdamW",
    "dense-selective": "dense selective tuning (LT-SFT style)",
    "sara-python": "sara.AdamW on diffusers' UNet",
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


def peer(name):
    return importlib.import_module(f"bench.against.peers.{name.replace('-', '_')}")
