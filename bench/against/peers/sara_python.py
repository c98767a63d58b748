# SPDX-License-Identifier: Apache-2.0
"""Ours in Python: sara.AdamW on diffusers' UNet."""

from bench.against.peers import Training
from bench.against.peers.adamw import update_of


def train(unet, task):
    import sara

    optimizer = sara.AdamW(unet, budget=task.budget, lr=1e-4, max_grad_norm=1.0)
    return Training(trained=optimizer.selected, update=update_of(optimizer), autocast=task.precision == "bf16-autocast")
