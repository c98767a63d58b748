# SPDX-License-Identifier: Apache-2.0
"""What is measured: one cell = one peer, precision and batch size. A round visits every cell once, compared ones next to each other."""

from dataclasses import dataclass

from bench.against import peers as others

# Ours, run by the program: what the budget is divided by. A tenth of it tells what sparse weight gradients cost when they are few.
OURS = {"sara": 1, "sara-tenth": 10}
EAGER = "eager-saved"
PEERS = (*others.PEERS, *OURS, EAGER)
PRECISIONS = others.EVERY


@dataclass(frozen=True)
class Cell:
    peer: str
    precision: str
    batch_size: int

    def __str__(self):
        return f"{self.peer} {self.precision} batch {self.batch_size}"


def precisions_of(name):
    if name in OURS:
        return ("fp32", "bf16")
    return PRECISIONS if name == EAGER else others.PEERS[name].precisions


def cells_of(peers, precisions, batch_sizes):
    """In the order of a round: by batch size, then float32, then all of bfloat16, peers side by side."""
    families = (("fp32",), ("bf16-autocast", "bf16"))
    return [
        Cell(name, precision, batch_size)
        for batch_size in batch_sizes
        for family in families
        for name in peers
        for precision in family
        if precision in precisions and precision in precisions_of(name)
    ]
