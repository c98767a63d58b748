# SPDX-License-Identifier: Apache-2.0
"""The Python package as the build left it in build/python."""

import pathlib
import sys

import pytest
import torch

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "parity"), str(TESTS / "support")]

from probe import BUILD  # noqa: E402

sys.path.insert(0, str(BUILD / "python"))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
