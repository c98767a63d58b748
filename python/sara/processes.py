# SPDX-License-Identifier: Apache-2.0
"""Several processes under torch.distributed: who they are, what they must have in common, and DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from sara._core import InvalidArgument

_IGNORED = "_ddp_params_and_buffers_to_ignore"  # where DistributedDataParallel looks for parameters that are not its own


def world_size() -> int:
    """How many processes train together: 1 without torch.distributed, or before it was started."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def average(gradient: torch.Tensor) -> None:
    """gradient <- its mean over all processes, with the same bits in all of them; one exchange."""
    torch.distributed.all_reduce(gradient)
    gradient.div_(world_size())


def require_same(fingerprint: str, when: str, device: torch.device) -> None:
    """Raises ValueError, in every process, naming the first whose fingerprint (32 hex digits) is not rank 0's."""
    mine = torch.tensor([int(fingerprint[i : i + 8], 16) for i in range(0, 32, 8)], device=device)
    all_of_them = [torch.empty_like(mine) for _ in range(world_size())]
    torch.distributed.all_gather(all_of_them, mine)
    for rank, theirs in enumerate(all_of_them):
        if not torch.equal(theirs, all_of_them[0]):
            raise InvalidArgument(
                f"rank {rank}: what is trained (positions and values, {when}) differs from rank 0. Fix: load the same weights and give the same options in every process"
            )


class HiddenFromDDP:
    """Parameters that DistributedDataParallel, when it wraps the module later, leaves to the optimizer: all of them but the smallest
    trained one, since it refuses to wrap a module without any. What it averages of that one is nothing: the gradient is gone by then.
    """

    def __init__(self, modules: Iterable[torch.nn.Module], trained: set[int]):
        self._before = []
        self._kept = []
        for module in modules:
            own = [(name, parameter) for name, parameter in module.named_parameters()]
            kept = min((parameter for _, parameter in own if id(parameter) in trained), key=torch.Tensor.numel, default=None)
            if kept is None:
                continue
            self._kept.append(kept)
            before = getattr(module, _IGNORED, None)
            self._before.append((module, before))
            setattr(module, _IGNORED, {*(before or ()), *(name for name, parameter in own if parameter is not kept)})

    def refresh(self) -> None:
        """After a reselection: DistributedDataParallel waits for the gradient of a parameter that it has seen trained."""
        for parameter in self._kept:
            parameter.requires_grad_(True)

    def undo(self) -> None:
        for module, before in self._before:
            if before is None:
                delattr(module, _IGNORED)
            else:
                setattr(module, _IGNORED, before)
