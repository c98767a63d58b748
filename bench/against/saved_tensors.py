# SPDX-License-Identifier: Apache-2.0
"""How many bytes does eager autograd keep between forward and backward of one training step of diffusers' UNet, all weights trained?

    python -m bench.against.saved_tensors --model random:sd15 --resolution 256 --batch-size 4 --precision fp32

Counted by torch.autograd.graph.saved_tensors_hooks: each storage once and whole, parameters left out. The low-precision copies of the
weights that autocast keeps for the backward pass are counted apart (weight_copy_bytes): they are no activations.
"""

import argparse
import json

import torch

from bench.against.machine import peak_resident_bytes
from bench.against.model import latent_side
from bench.against.unet import WEIGHT_DTYPES, build_unet, denoising_loss, random_batch


def is_made_of_one_parameter(tensor):
    """A cast, view or transpose of a parameter: its graph is one chain that ends in a leaf that asks for a gradient."""
    node = tensor.grad_fn
    while node is not None:
        if hasattr(node, "variable"):
            return isinstance(node.variable, torch.nn.Parameter)
        inputs = [below for below, _ in node.next_functions if below is not None]
        if len(inputs) != 1 or len(node.next_functions) != 1:
            return False
        node = inputs[0]
    return False


def saved_bytes(run, parameters):
    """{"activation_bytes", "weight_copy_bytes"} of the graph that run() builds and returns the end of."""
    of_parameters = {p.untyped_storage().data_ptr() for p in parameters}
    activations, copies = {}, {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in of_parameters:
            (copies if is_made_of_one_parameter(tensor) else activations)[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        end = run()  # held until the counts are taken, so that no storage is freed and its address counted again
    counts = {"activation_bytes": sum(activations.values()), "weight_copy_bytes": sum(size for address, size in copies.items() if address not in activations)}
    del end
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="random:sd15")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--precision", choices=WEIGHT_DTYPES, default="fp32")
    options = parser.parse_args()
    unet = build_unet(options.model, options.precision)
    batch = random_batch(unet, latent_side(options.model, options.resolution), options.batch_size)
    counts = saved_bytes(lambda: denoising_loss(unet, batch, options.precision == "bf16-autocast"), list(unet.parameters()))
    print(json.dumps({**counts, "peak_rss_gb": peak_resident_bytes() / 1e9}))


if __name__ == "__main__":
    main()
