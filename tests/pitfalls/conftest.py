# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the command-line tests, and the program's own list of flags."""

import importlib.util
import pathlib

import pytest

spec = importlib.util.spec_from_file_location("cli_fixtures", pathlib.Path(__file__).resolve().parents[1] / "cli" / "conftest.py")
cli_fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cli_fixtures)
sara, model, own_model, pictures, refused = (getattr(cli_fixtures, name) for name in ("sara", "model", "own_model", "pictures", "refused"))


@pytest.fixture(scope="session")
def train(sara, model, pictures, tmp_path_factory):
    """train("--flag", ...) -> (finished process, output folder) of a short run on the tiny model."""

    def run(*more, code=0, base=None, data=None, steps=4):
        output = tmp_path_factory.mktemp("runs") / "run"
        done = sara("train", "--model", base or model, "--data", data or pictures, "--output", output, "--steps", steps, "--batch-size", "2", *more)
        assert done.returncode == code, done.stderr
        return done, output

    return run


@pytest.fixture(scope="session")
def styled(train):
    return train("--budget", "5%", "--lr", "5e-2", "--caption-prefix", "tiny style, ")[1] / "adapter.safetensors"
