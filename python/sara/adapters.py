# SPDX-License-Identifier: Apache-2.0
"""Adapters on any module: save, load, apply at any scale, remove."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sara import _core
from sara.parameters import denoiser_of, family_of, named_parameters

if TYPE_CHECKING:
    from sara.optim import AdamW

_applied = weakref.WeakKeyDictionary()  # module -> (its parameters when the first adapter came, AppliedAdapters)


def load(path: str | os.PathLike) -> _core.Adapter:
    """Reads an adapter file (docs/formats.md).

    Returns a sara.Adapter: `tensors` is a dict from parameter path to .indices [n] (int32 or int64, sorted flat positions), .data [n]
    (float32, bfloat16 or float16; `.data.numpy()` where numpy is wanted) and .is_value (weights instead of differences); `metadata` a
    dict of texts; len() the number of weights.

    Raises BadFile (a ValueError) naming what is wrong with the content, IoError (an OSError) when it cannot be read.
    """
    return _core.load_adapter(os.fspath(path))


def save(source: _core.Adapter | AdamW, path: str | os.PathLike, metadata: Mapping[str, object] | None = None) -> None:
    """Writes an adapter file, atomically. source: a sara.Adapter, or a sara.AdamW for what it has learned so far.

    metadata: dict of texts, added to what the source says itself. Raises IoError (an OSError).
    """
    if hasattr(source, "save"):
        return source.save(path, metadata)
    if metadata:
        source = source.with_metadata({key: str(value) for key, value in metadata.items()})
    _core.save_adapter(os.fspath(path), source)


def apply(model_or_pipeline: object, path_or_adapter: str | os.PathLike | _core.Adapter, scale: float = 1.0, force: bool = False) -> None:
    """Adds an adapter to a model, P = P0 + sum_k scale_k dP_k (App. F, G, Eq. 10, 11), in place.

    model_or_pipeline: the module it was trained on, or a diffusers pipeline (its unet is meant). path_or_adapter: a file or a
    sara.Adapter. scale: any real number; 0 gives the base back bit for bit. Adapters applied one after the other add up; their
    masks may differ. Each weight is computed in float64 from the kept base and rounded once to its own dtype.

    Raises ValueError, with the model untouched: a scale that is not finite, parameters the model lacks, and, unless force,
    another model family or a base that is not bit for bit the one it was trained on.
    """
    module = denoiser_of(model_or_pipeline)
    adapter = path_or_adapter if isinstance(path_or_adapter, _core.Adapter) else load(path_or_adapter)
    named = named_parameters(module)
    known, adapters = _applied.get(module, (None, None))
    if known is None:
        adapters = _core.AppliedAdapters(named, family_of(module) or "")
    elif [id(parameter) for _, parameter in known] != [id(parameter) for _, parameter in named]:
        raise _core.InvalidArgument("model: its parameters were replaced since an adapter was applied. Fix: load the model again")
    adapters.add(adapter, float(scale), force)
    _applied[module] = (named, adapters)


def remove(model_or_pipeline: object) -> None:
    """Takes all adapters off: the model is the base again, bit for bit. Nothing happens when there are none."""
    _, adapters = _applied.pop(denoiser_of(model_or_pipeline), (None, None))
    if adapters is not None:
        adapters.remove()
