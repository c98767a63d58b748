# SPDX-License-Identifier: Apache-2.0
"""The package: refuses another torch in one sentence, bundles no libtorch, explains itself, and its stubs are complete."""

import inspect
import pathlib
import subprocess
import sys

import pytest
import torch
from probe import BUILD

import sara
from sara import _core

PACKAGE = pathlib.Path(sara.__file__).parent


def test_another_minor_version_of_torch_is_refused_in_one_sentence():
    program = "import torch; torch.__version__ = '2.12.1+cpu'; import sara"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(BUILD / "python"), "PATH": ""})
    assert done.returncode == 1
    built_for = ".".join(torch.__version__.split(".")[:2])
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: sara was built for torch {built_for}, but torch 2.12.1+cpu is installed. Fix: ")


def test_the_extension_finds_torch_beside_it_and_brings_none():
    extension = next(PACKAGE.glob("_core.*.so"))
    listed = subprocess.run(["readelf", "-d", extension], capture_output=True, text=True, check=True).stdout
    assert "[$ORIGIN/../torch/lib]" in listed
    assert "libtorch_python.so" in listed
    assert not list(PACKAGE.glob("libtorch*")) and not list(PACKAGE.glob("libc10*"))


@pytest.mark.parametrize("name", sara.__all__)
def test_every_public_name_has_a_docstring_that_teaches(name):
    thing = getattr(sara, name)
    if isinstance(thing, type) and issubclass(thing, Exception):
        return
    text = inspect.getdoc(thing)
    assert text and len(text) > 30
    if inspect.isfunction(thing) and name not in ("remove",):
        assert "Raises" in text


def test_errors_are_the_built_in_kinds():
    kinds = {"InvalidArgument": ValueError, "BadFile": ValueError, "IoError": OSError, "NonFinite": ArithmeticError, "OutOfMemory": MemoryError}
    for name, kind in kinds.items():
        assert issubclass(getattr(sara, name), kind)


def test_the_stub_of_the_extension_lists_what_it_has():
    stub = {}
    text = (PACKAGE / "_core.pyi").read_text().replace(": ...", ": pass")
    exec(compile("from __future__ import annotations\n" + text, "_core.pyi", "exec"), stub)
    for name, thing in vars(_core).items():
        if name.startswith("_"):
            continue
        assert name in stub, name
        if isinstance(thing, type) and not issubclass(thing, Exception):
            missing = {member for member in vars(thing) if not member.startswith("_")} - set(vars(stub[name])) - set(stub[name].__annotations__)
            assert not missing, (name, missing)
    assert (PACKAGE / "py.typed").exists()


def test_an_unknown_option_of_the_core_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean lambda_rank"):
        _core.AdamW([([("w", torch.zeros(4))], None, None)], {"lamda_rank": 1.0})
