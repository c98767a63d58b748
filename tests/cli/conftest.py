# SPDX-License-Identifier: Apache-2.0
"""Runs the program as a user does, on a tiny model and a handful of pictures."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "parity"), str(TESTS / "support")]

from probe import BUILD  # noqa: E402
from tiny_model import write_tiny_model  # noqa: E402


@pytest.fixture(scope="session")
def sara():
    """sara("verb", "--flag", ...) -> the finished process; stdout and stderr as text."""

    def run(*arguments, env=None, **options):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SARA_")}
        options.setdefault("capture_output", True)
        return subprocess.run(
            [BUILD / "sara", *map(str, arguments)],
            text=True,
            timeout=300,
            env=dict(clean, OMP_NUM_THREADS="1", **(env or {})),
            **options,
        )

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A tiny random model. Read only: take `own_model` to damage one."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def own_model(model, tmp_path):
    return pathlib.Path(shutil.copytree(model, tmp_path / "own"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Four captioned pictures of 16 x 16."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for index, colour in enumerate(["red", "green", "blue", "yellow"]):
        Image.new("RGB", (16, 16), colour).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"a {colour} square\n")
    return folder


@pytest.fixture
def own_pictures(pictures, tmp_path):
    return pathlib.Path(shutil.copytree(pictures, tmp_path / "own_pictures"))


@pytest.fixture(scope="session")
def run_folder(sara, model, pictures, tmp_path_factory):
    """What a short training run leaves."""
    output = tmp_path_factory.mktemp("runs") / "run"
    done = sara(
        *("train", "--model", model, "--data", pictures, "--output", output, "--budget", "5%", "--lr", "1e-2"),
        *("--steps", "4", "--batch-size", "2", "--caption-prefix", "tiny style, "),
    )
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="session")
def adapter(run_folder):
    return run_folder / "adapter.safetensors"


@pytest.fixture
def refused(sara):
    """refused(code, *phrases)(arguments): the one-line form of every error, its exit code and what it says."""

    def check(exit_code, phrases, *arguments, **options):
        done = sara(*arguments, **options)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("sara: warning: ")]
        errors = [line for line in lines if line.startswith("sara: error: ")]
        assert done.returncode == exit_code, (done.returncode, done.stderr)
        assert done.stdout == ""
        assert len(errors) == 1, done.stderr
        details = lines[lines.index(errors[0]) + 1 :]
        assert all(line.startswith("  ") for line in details), done.stderr
        for phrase in [phrases] if isinstance(phrases, str) else phrases:
            assert phrase in "\n".join([errors[0], *details]), errors[0]
        return done

    return check
