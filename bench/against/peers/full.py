# SPDX-License-Identifier: Apache-2.0
"""Full fine-tuning: AdamW on every weight."""

from bench.against.peers import Training
from bench.against.peers.adamw import adamw, trained_parameters, update_of


def train(unet, task):
    parameters = trained_parameters(unet)
    trained = sum(p.numel() for p in parameters)
    return Training(trained=trained, update=update_of(adamw(parameters, task)), autocast=task.precision == "bf16-autocast")
