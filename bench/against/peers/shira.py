# SPDX-License-Identifier: Apache-2.0
"""PEFT SHiRA: sparse random entries of every linear layer, as many as LoRA of rank r would train (it knows no convolutions)."""

from bench.against.peers import Training
from bench.against.peers.adamw import adamw, trained_parameters, update_of
from bench.against.peers.lora import LINEARS, matched_rank, names_of


def targets_of(unet):
    return names_of(unet, LINEARS)


def train(unet, task):
    from peft import ShiraConfig, inject_adapter_in_model

    targets = targets_of(unet)
    rank = task.rank or matched_rank(unet, targets, task.budget)
    unet.requires_grad_(False)
    inject_adapter_in_model(ShiraConfig(r=rank, random_seed=0, target_modules=targets), unet)
    parameters = trained_parameters(unet)
    trained = sum(p.numel() for p in parameters)
    return Training(trained=trained, update=update_of(adamw(parameters, task)), rank=rank, autocast=task.precision == "bf16-autocast")
