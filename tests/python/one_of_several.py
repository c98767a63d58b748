# SPDX-License-Identifier: Apache-2.0
"""One rank of test_processes.py: trains the small network in every way that people write down, and saves where it came to.

Usage: one_of_several.py FOLDER. The environment is torchrun's; writes FOLDER/rank-N.pt.
"""

import contextlib
import os
import sys

import torch

from networks import batch, small_network

import sara

STEPS, SWITCH = 4, 2
OPTIONS = dict(threshold=0.1, lr=5e-3, eps=1e-4, lambda_rank=1e-2, rank_layers="all", progressive_iter=SWITCH, force=True)


def loss_of_rows(network, step, rank, size, part=0, parts=1):
    """Of this rank's rows of micro-batch `part`: the mean over ranks and parts is the loss of all eight."""
    x, y = batch(step)
    rows = torch.arange(8).view(parts, size, -1)[part, rank]
    return torch.nn.functional.mse_loss(network(x[rows]).float(), y[rows])


def plain(network, rank, size, wrap=lambda module: module, clip=None, **more):
    optimizer = sara.AdamW(network, **OPTIONS, **more)
    network = wrap(network)
    for step in range(STEPS):
        loss_of_rows(network, step, rank, size).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(optimizer.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


def accumulated(network, rank, size, lazily):
    optimizer = sara.AdamW(network, **OPTIONS)
    for step in range(STEPS):
        for part in range(2):
            with optimizer.no_sync() if lazily == "always" or (lazily == "first" and part == 0) else contextlib.nullcontext():
                (loss_of_rows(network, step, rank, size, part, 2) / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


def accelerated(network, rank, size):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(True)  # what other tests of this process left
    GradientState._reset_state()
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    network, optimizer = accelerator.prepare(network, sara.AdamW(network, **OPTIONS))
    assert size == 1 or isinstance(network, torch.nn.parallel.DistributedDataParallel)
    for step in range(STEPS):
        for part in range(2):
            with accelerator.accumulate(network):
                accelerator.backward(loss_of_rows(network, step, rank, size, part, 2))
                optimizer.step()
                optimizer.zero_grad()
    return optimizer.optimizer


def scaled(network, rank, size):
    """A GradScaler, and an overflow on one rank alone at the second step."""
    optimizer = sara.AdamW(network, **OPTIONS)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(STEPS):
        loss = loss_of_rows(network, step, rank, size)
        if step == 1 and rank == size - 1:
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(optimizer.parameters(), 1e3)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert scaler.get_scale() == 512.0
    return optimizer


def ddp(module):
    return torch.nn.parallel.DistributedDataParallel(module) if torch.distributed.is_initialized() else module


WAYS = {
    "plain": plain,
    "dense backward": lambda *all: plain(*all, sparse_backward=False),
    "clipped": lambda *all: plain(*all, clip=0.05),
    "accumulated": lambda *all: accumulated(*all, "never"),
    "accumulated without exchange": lambda *all: accumulated(*all, "first"),
    "exchanged in step": lambda *all: accumulated(*all, "always"),
    "ddp": lambda *all: plain(*all, wrap=ddp),
    "ddp, dense backward": lambda *all: plain(*all, wrap=ddp, sparse_backward=False),
    "scaler": scaled,
    "accelerate": accelerated,
}


def outcome(way, rank, size):
    network = small_network()
    optimizer = WAYS[way](network, rank, size)
    state = optimizer.state_dict()
    first = {key: tensor.clone() for key, tensor in state["state"][0].items()}
    after = {"steps": optimizer.steps, "active": optimizer.active, "selected": optimizer.selected, **first, **{key: state["sara"][key].clone() for key in ("still_active", "retired")}}
    after["dense gradients"] = sum(p.grad.numel() for p in network.parameters() if p.grad is not None)
    optimizer.close()
    after["left on the module"] = [name for name in vars(network) if "ddp" in name]
    return after


def message_of(run):
    try:
        run()
    except ValueError as error:
        return str(error)
    return ""


def main():
    torch.set_num_threads(1)
    late = sara.AdamW(small_network(), **OPTIONS)
    torch.distributed.init_process_group("gloo")
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    out = {way: outcome(way, rank, size) for way in WAYS}
    out["refused"] = {
        "started late": message_of(late.step),
        "wrapped before": message_of(lambda: sara.AdamW(torch.nn.parallel.DistributedDataParallel(small_network()), **OPTIONS)),
        "other weights": message_of(lambda: sara.AdamW(small_network(seed=rank), **OPTIONS)),
    }
    torch.save(out, os.path.join(sys.argv[1], f"rank-{rank}.pt"))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
