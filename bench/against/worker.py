# SPDX-License-Identifier: Apache-2.0
"""The process of one peer. Builds it, says so, then runs one optimizer step for every line "step" on stdin; ends with stdin.

    echo step | python -m bench.against.worker base --model random:sd15 --resolution 256 --batch-size 1 --precision fp32 --budget 50000000

stdout holds JSON objects, one a line: first {"trained", "rank", "parameters", "threads", "versions"}, then for each step {"forward_s",
"backward_s", "optimizer_s", "step_s", "peak_rss_gb"}, seconds and the highest resident memory of the process so far.
"""

import argparse
import json
import os
import sys
import time

import torch

from bench.against.machine import peak_resident_bytes, versions
from bench.against.model import latent_side
from bench.against.peers import PEERS, Task, train
from bench.against.unet import build_unet, denoising_loss, random_batch


class Stopwatch:
    def __init__(self):
        self.last = time.perf_counter()

    def lap(self):
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        return seconds


def timed_step(unet, training, batch):
    batch.latents.requires_grad_(training.input_gradients)
    watch = Stopwatch()
    loss = denoising_loss(unet, batch, training.autocast)
    forward = watch.lap()
    loss.backward()
    del loss
    backward = watch.lap()
    if training.update:
        training.update()
    optimizer = watch.lap()
    times = {"forward_s": forward, "backward_s": backward, "optimizer_s": optimizer, "step_s": forward + backward + optimizer}
    return {**times, "peak_rss_gb": peak_resident_bytes() / 1e9}


def parsed(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--model", default="random:sd15")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--budget", type=int, default=50_000_000)
    parser.add_argument("--adamw", choices=["default", "fused"], default="default")
    parser.add_argument("--rank", type=int)
    options = parser.parse_args(arguments)
    if options.precision not in PEERS[options.peer].precisions:
        parser.error(f"--precision: {options.peer} does not run in {options.precision} (expected one of {', '.join(PEERS[options.peer].precisions)})")
    return options


def serve(options, requests, answers):
    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    unet = build_unet(options.model, options.precision)
    parameters = sum(p.numel() for p in unet.parameters())
    training = train(options.peer, unet, Task(options.budget, options.adamw, options.precision, options.rank))
    side = latent_side(options.model, options.resolution)
    answer({"trained": training.trained, "rank": training.rank, "parameters": parameters, "threads": torch.get_num_threads(), "versions": versions()})
    for line in requests:
        if line.strip() != "step":
            raise SystemExit(f"stdin: unknown request (expected step, got {line.strip()!r})")
        answer(timed_step(unet, training, random_batch(unet, side, options.batch_size)))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print belongs to stderr
    serve(parsed(sys.argv[1:]), sys.stdin, answers)
