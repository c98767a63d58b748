# SPDX-License-Identifier: Apache-2.0
"""A small network, its data and its weights."""

import torch


def small_network(seed=0, dtype=torch.float32):
    """A convolution, a norm and two linear layers: [B, 3, 8, 8] -> [B, 4]."""
    torch.manual_seed(seed)
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.SiLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(32, 24), nn.SiLU(), nn.Linear(24, 4)
    ).to(dtype)


def batch(step, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1000 + step)
    return torch.randn(8, 3, 8, 8, generator=generator).to(dtype), torch.randn(8, 4, generator=generator)


def loss_of(network, step, dtype=torch.float32):
    x, y = batch(step, dtype)
    return torch.nn.functional.mse_loss(network(x).float(), y)


def weights_of(network):
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def same_weights(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
