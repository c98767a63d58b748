# SPDX-License-Identifier: Apache-2.0
"""PEFT LoRA on every linear layer and every convolution: SaRA's own scope."""

from bench.against.peers.lora import LINEARS_AND_CONVOLUTIONS, names_of, train_lora


def targets_of(unet):
    return names_of(unet, LINEARS_AND_CONVOLUTIONS)


def train(unet, task):
    return train_lora(unet, targets_of(unet), task)
