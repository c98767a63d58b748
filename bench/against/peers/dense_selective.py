# SPDX-License-Identifier: Apache-2.0
"""Selective tuning as LT-SFT does it: dense gradients, masked; AdamW states and one boolean mask as large as the model.

The mask holds the weights below a threshold. The threshold is the quantile of one weight in a few hundred, so the count misses the
budget slightly; the exact count is reported. No weight decay: it would move the weights outside the mask.
"""

import torch

from bench.against.peers import Training
from bench.against.peers.adamw import adamw, trained_parameters

SAMPLE = 2_000_000


def masks_of(parameters, budget):
    total = sum(p.numel() for p in parameters)
    every = max(1, total // SAMPLE)
    sample = torch.cat([p.detach().flatten()[::every].abs() for p in parameters])
    threshold = sample.kthvalue(max(1, round(budget / total * sample.numel()))).values
    return [p.detach().abs() < threshold for p in parameters]


def train(unet, task):
    parameters = trained_parameters(unet)
    masks = masks_of(parameters, task.budget)
    optimizer = adamw(parameters, task, weight_decay=0)

    def update():
        for parameter, mask in zip(parameters, masks):
            parameter.grad.mul_(mask)
        optimizer.step()
        optimizer.zero_grad()

    return Training(trained=sum(int(mask.sum()) for mask in masks), update=update, autocast=task.precision == "bf16-autocast")
