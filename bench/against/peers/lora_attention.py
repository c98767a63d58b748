# SPDX-License-Identifier: Apache-2.0
"""PEFT LoRA on q, k, v and out of every attention: the scope of diffusers' LoRA script."""

from bench.against.peers.lora import LINEARS, names_of, train_lora

ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")


def targets_of(unet):
    return [name for name in names_of(unet, LINEARS) if name.endswith(ATTENTION)]


def train(unet, task):
    return train_lora(unet, targets_of(unet), task)
