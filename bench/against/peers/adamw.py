# SPDX-License-Identifier: Apache-2.0
"""torch.optim.AdamW as diffusers' training scripts call it."""

import torch


def adamw(parameters, task, weight_decay=1e-2):
    fused = {"default": None, "fused": True}[task.adamw]
    return torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, fused=fused)


def update_of(optimizer):
    def update():
        optimizer.step()
        optimizer.zero_grad()

    return update


def trained_parameters(unet):
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]
