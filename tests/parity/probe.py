# SPDX-License-Identifier: Apache-2.0
"""Runs one piece of the C++ library on tensors from Python: run_probe("unet", {"sample": ...}, {...}) -> tensors."""

import json
import os
import pathlib
import subprocess
import tempfile

import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SARA_BUILD", ROOT / "build"))


class ProbeError(RuntimeError):
    """The probe refused; str() is its one-line message."""


def run_probe(name, tensors=None, config=None):
    tensors = dict(tensors or {})
    if not tensors:
        tensors = {"_": torch.zeros(1)}
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
        contiguous = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
        save_file(contiguous, source, metadata={"config": json.dumps(config or {})})
        done = subprocess.run([BUILD / "tests" / "sara_probe", name, source, target], capture_output=True, text=True)
        if done.returncode != 0:
            raise ProbeError(done.stderr.strip())
        return load_file(target)
