# SPDX-License-Identifier: Apache-2.0
"""The layers of a model, switched to the backward pass that computes selected weight gradients alone (Sec. 4.4, Eq. 7-8)."""

from __future__ import annotations

import types
from collections.abc import Iterable

import torch

from sara import _core


def _in_autocast(x):
    """x as torch.nn.functional.linear and conv2d would take it."""
    return x.to(torch.get_autocast_dtype(x.device.type)) if torch.is_autocast_enabled(x.device.type) else x


def _linear(self, x):
    if torch.compiler.is_compiling() or x.numel() == 0:
        return torch.nn.Linear.forward(self, x)
    return _core.linear(_in_autocast(x), self.weight, self.bias)


def _conv2d(self, x):
    if torch.compiler.is_compiling() or x.numel() == 0 or x.dim() != 4:
        return torch.nn.Conv2d.forward(self, x)
    return _core.conv2d(_in_autocast(x), self.weight, self.bias, self.stride[0], self.padding[0])


def _is_plain(conv):
    """Whether the library's convolution has this geometry: square, zeros around it, neither groups nor dilation."""
    return (
        conv.groups == 1
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and tuple(conv.dilation) == (1, 1)
        and all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding))
    )


def _replacement(module):
    if "forward" in vars(module):
        return None  # someone else's
    if type(module).forward is torch.nn.Linear.forward:
        return _linear
    if type(module).forward is torch.nn.Conv2d.forward and _is_plain(module):
        return _conv2d
    return None


def switch(modules: Iterable[torch.nn.Module], trained: set[int]) -> list[torch.nn.Module]:
    """Gives each nn.Linear and nn.Conv2d below `modules` whose weight is in `trained` (ids) the library's forward; returns them."""
    switched = []
    for root in modules:
        for module in root.modules():
            if id(getattr(module, "weight", None)) in trained and (forward := _replacement(module)):
                module.forward = types.MethodType(forward, module)
                switched.append(module)
    return switched


def switch_back(modules: Iterable[torch.nn.Module]) -> None:
    """Gives them back their own forward, where nobody has put another one over ours since."""
    for module in modules:
        if getattr(vars(module).get("forward"), "__func__", None) in (_linear, _conv2d):
            del module.forward
