# SPDX-License-Identifier: Apache-2.0
"""The names under which a model's parameters are trained and saved.

A diffusers UNet2DConditionModel has its component in front ("unet.conv_in.weight"), so that its adapters are those of the command
line; any other module has its plain parameter paths.
"""

import dataclasses

import torch

from sara._core import InvalidArgument


def unwrapped(module):
    """The module inside DistributedDataParallel, DataParallel and torch.compile."""
    while True:
        if isinstance(module, (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
        else:
            return module


def denoiser_of(model):
    """The module that adapters are for: a module itself, or a diffusers pipeline's unet."""
    if isinstance(model, torch.nn.Module):
        return unwrapped(model)
    if isinstance(getattr(model, "unet", None), torch.nn.Module):
        return unwrapped(model.unet)
    raise InvalidArgument(f"model: not a module and no pipeline with a unet (got {type(model).__name__}). Fix: pass the torch.nn.Module")


def _is_unet(module):
    return any(kind.__name__ == "UNet2DConditionModel" for kind in type(module).__mro__)


def prefix_of(module):
    return "unet." if _is_unet(module) else ""


def family_of(module):
    """Model family as in an adapter's metadata: "sd1", "sd2", "sdxl"; None for a module that belongs to none."""
    if not _is_unet(module):
        return None
    if getattr(module.config, "addition_embed_type", None) == "text_time":
        return "sdxl"
    return "sd2" if module.config.use_linear_projection else "sd1"


def named_parameters(module):
    """(name, parameter) of every parameter of a module; a tied one once."""
    prefix = prefix_of(module)
    return [(prefix + name, parameter) for name, parameter in module.named_parameters()]


@dataclasses.dataclass
class Scope:
    """What an optimizer was given: groups of (name, parameter) with their settings."""

    groups: list  # of (named parameters, settings without "params")
    owners: dict  # name -> (the owning module's parameter dict, own name): where the parameter must still be
    family: str | None
    modules: list  # those among what was given


def scope_of(model):
    """`model`: a module, an iterable of (name, parameter), or a list of {"params": one of those, "lr": ..., ...}.

    Parameters with requires_grad = False are left alone. Raises ValueError for parameters without names, and when all are frozen.
    """
    if isinstance(model, dict):
        raise InvalidArgument('model: one group (got a dict). Fix: pass a list of groups, [{"params": ...}]')
    sources = [model]
    if not isinstance(model, torch.nn.Module):
        sources = list(model)
        if not sources or not all(isinstance(source, dict) for source in sources):
            sources = [sources]
    scope = Scope([], {}, None, [])
    for source in sources:
        settings = dict(source) if isinstance(source, dict) else {"params": source}
        if "params" not in settings:
            raise InvalidArgument('model: a group without "params". Fix: {"params": module or named parameters, "lr": ...}')
        params = settings.pop("params")
        if isinstance(params, torch.nn.Module):
            if isinstance(params, torch.nn.parallel.DistributedDataParallel):
                raise InvalidArgument(
                    "model: wrapped in DistributedDataParallel already, which waits for dense gradients. Fix: make the optimizer on the module itself, then wrap it"
                )
            params = unwrapped(params)
            scope.modules.append(params)
            scope.family = scope.family or family_of(params)
            prefix = prefix_of(params)
            for path, module in params.named_modules():
                for own_name in module._parameters:
                    scope.owners[prefix + (f"{path}." if path else "") + own_name] = (module._parameters, own_name)
            params = named_parameters(params)
        scope.groups.append(([item for item in map(_checked, params) if item[1].requires_grad], settings))
    if not any(named for named, _ in scope.groups):
        raise InvalidArgument("model: every parameter is frozen (requires_grad = False). Fix: unfreeze what may be trained")
    return scope


def _checked(item):
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], torch.Tensor):
        return item
    raise InvalidArgument(
        f"model: parameters need names (expected (name, parameter), got {type(item).__name__}). Fix: pass the module, or model.named_parameters()"
    )
