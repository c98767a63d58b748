# SPDX-License-Identifier: Apache-2.0
"""docs/formats.md: its bytes and its numpy reader are run as they stand there."""

import pathlib
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"
DOCUMENT = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text()


@pytest.fixture(scope="module")
def add_adapter():
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    body = code[code.index("def ") :].strip().splitlines()
    assert len(body) <= 10
    names = {}
    exec(code, names)
    return names["add_adapter"]


def unet(model):
    return {"unet." + key: array.copy() for key, array in load_file(model / UNET).items()}


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_reader_in_the_document_gives_what_merge_gives(sara, add_adapter, model, adapter, tmp_path, scale):
    assert sara("merge", "--model", model, "--adapter", f"{adapter}:{scale}", "--output", tmp_path / "merged").returncode == 0
    weights, before, merged = unet(model), unet(model), unet(tmp_path / "merged")
    add_adapter(weights, adapter, scale)
    assert all(np.array_equal(weights[key], merged[key]) for key in merged)
    assert any(not np.array_equal(weights[key], before[key]) for key in merged)


def test_the_reader_in_the_document_reads_values_too(sara, add_adapter, model, adapter, tmp_path):
    assert sara("merge", "--model", model, "--adapter", adapter, "--output", tmp_path / "merged").returncode == 0
    extracted = tmp_path / "values.safetensors"
    assert sara("extract", "--base", model, "--tuned", tmp_path / "merged", "--output", extracted).returncode == 0
    weights, merged = unet(model), unet(tmp_path / "merged")
    add_adapter(weights, extracted)
    assert all(np.array_equal(weights[key], merged[key]) for key in merged)


def test_the_example_bytes_of_the_document_are_those_indices(add_adapter, tmp_path):
    (numbers,) = re.findall(r"Indices ([\d, ]+) have the gaps", DOCUMENT)
    (text,) = re.findall(r"are the bytes `([0-9A-F ]+)`", DOCUMENT)
    gaps = np.array([int(byte, 16) for byte in text.split()], dtype=np.uint8)
    indices = [int(number) for number in numbers.split(",")]
    save_file({"w.gaps": gaps, "w.delta": np.ones(len(indices), np.float32)}, tmp_path / "x.safetensors")
    weights = {"w": np.zeros(601, np.float32)}
    add_adapter(weights, tmp_path / "x.safetensors")
    assert np.flatnonzero(weights["w"]).tolist() == indices
