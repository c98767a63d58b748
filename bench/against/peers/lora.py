# SPDX-License-Identifier: Apache-2.0
"""PEFT LoRA through diffusers' add_adapter, with the rank that trains nearest to the budget."""

from torch import nn

from bench.against.peers import Training
from bench.against.peers.adamw import adamw, trained_parameters, update_of

LINEARS = (nn.Linear,)
LINEARS_AND_CONVOLUTIONS = (nn.Linear, nn.Conv2d)


def names_of(unet, kinds):
    return [name for name, module in unet.named_modules() if isinstance(module, kinds)]


def weights_a_rank(unet, targets):
    """LoRA of rank r holds A [r, in, ...] and B [out, r] for each target: the sum of in * kh * kw + out."""
    shapes = [unet.get_submodule(name).weight.shape for name in targets]
    return sum(shape[0] + shape[1:].numel() for shape in shapes)


def matched_rank(unet, targets, budget):
    return max(1, round(budget / weights_a_rank(unet, targets)))


def train_lora(unet, targets, task):
    from peft import LoraConfig

    rank = task.rank or matched_rank(unet, targets, task.budget)
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets))
    parameters = trained_parameters(unet)
    for parameter in parameters:
        parameter.data = parameter.data.float()
    autocast = task.precision != "fp32"
    return Training(trained=sum(p.numel() for p in parameters), update=update_of(adamw(parameters, task)), rank=rank, autocast=autocast)
