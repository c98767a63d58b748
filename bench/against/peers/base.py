# SPDX-License-Identifier: Apache-2.0
"""Every weight frozen, the gradient flows to the latents: what a step costs before anything is trained."""

from bench.against.peers import Training


def train(unet, task):
    unet.requires_grad_(False)
    return Training(trained=0, input_gradients=True, autocast=task.precision == "bf16-autocast")
