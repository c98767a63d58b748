# SPDX-License-Identifier: Apache-2.0
"""SaRA: fine-tune a model by training only the weights that do nothing yet (ICLR 2025).

    optimizer = sara.AdamW(model, threshold=2e-3)      # any torch.nn.Module; a torch.optim.Optimizer
    ...
    optimizer.save("style.safetensors")
    sara.apply(model, "style.safetensors", scale=0.8)

Everything is computed by the C++ library; this package is its door. Errors are ValueError (InvalidArgument, BadFile), OSError
(IoError), ArithmeticError (NonFinite), MemoryError (OutOfMemory) and RuntimeError (InternalError) with one-line texts.
"""

import torch

from sara._build_info import torch_version as _built_for
from sara._build_info import version as __version__

if ".".join(torch.__version__.split("+")[0].split(".")[:2]) != _built_for:
    raise ImportError(
        f"sara was built for torch {_built_for}, but torch {torch.__version__} is installed. "
        "Fix: run pip install . in sara's source again (it builds against the torch that is there)"
    )

from sara._core import (  # noqa: E402  (needs torch's libraries in the process)
    Adapter,
    AdapterTensor,
    BadFile,
    InternalError,
    InvalidArgument,
    IoError,
    NonFinite,
    OutOfMemory,
)
from sara.adapters import apply, load, remove, save  # noqa: E402
from sara.optim import AdamW, StepReport  # noqa: E402
from sara.rank import nuclear_norm  # noqa: E402
from sara.selection import mask  # noqa: E402

__all__ = [
    "AdamW",
    "Adapter",
    "AdapterTensor",
    "BadFile",
    "InternalError",
    "InvalidArgument",
    "IoError",
    "NonFinite",
    "OutOfMemory",
    "StepReport",
    "apply",
    "load",
    "mask",
    "nuclear_norm",
    "remove",
    "save",
]
