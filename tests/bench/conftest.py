# SPDX-License-Identifier: Apache-2.0
"""python -m bench.against on a tiny UNet, and its arithmetic on numbers that are checked on paper."""

import copy
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "parity")]

from tiny_model import UNET, VAE  # noqa: E402

SETTINGS = {
    "model": "random:sd15", "resolution": 256, "budget": 50_000_000, "warmup": 1, "steps": 3, "threads": 2, "adamw": "default", "ours_flags": [], "ranks": {},
}  # fmt: skip


def a_run(peer, precision, batch_size, round_number, steps, **more):
    times = {"forward_s": [1.0], "backward_s": [2.0], "optimizer_s": [0.5], "step_s": steps}
    usual = {"wall_s": 9.0, "others_cpu": 0.01, "trained": 50_000_000, "rank": None, "peak_rss_gb": 8.0}
    return {"peer": peer, "precision": precision, "batch_size": batch_size, "round": round_number, **usual, **times, **more}


def eager_run(precision, batch_size, activations):
    cost = {"wall_s": 9.0, "others_cpu": 0.04, "peak_rss_gb": 7.0, "weight_copy_bytes": 0, "activation_bytes": activations}
    return {"peer": "eager-saved", "precision": precision, "batch_size": batch_size, "round": 1, **cost}


def ours_run(precision, batch_size, round_number, step, **more):
    own = {"rank_s": [0.05], "rank_s_mean": 0.07, "saved_activation_bytes": 400, "program": "abc1234", **more}
    return a_run("sara", precision, batch_size, round_number, [step], **own)


FIXED = {
    "format": "sara-bench-against",
    "version": 1,
    "date": "2026-01-02T03:04:05Z",
    "commit": "abc1234",
    "bench": "0123456789abcdef",
    "machine": {"cpu": "a processor", "cores": 2, "memory_gb": 24.0, "extensions": ["avx2"]},
    "versions": {"python": "3.11.7", "torch": "2.13.0", "diffusers": "0.42.1", "peft": "0.21.2"},
    "settings": SETTINGS,
    "runs": [
        a_run("base", "fp32", 4, 1, [5.0, 4.0, 9.0]),
        a_run("lora-all", "fp32", 4, 1, [10.0, 8.0, 9.0], rank=47),
        ours_run("fp32", 4, 1, 4.0, peak_rss_gb=4.0),
        eager_run("fp32", 4, 1000),
        a_run("base", "fp32", 4, 2, [4.0, 4.0, 4.0]),
        a_run("lora-all", "fp32", 4, 2, [12.0, 11.0, 13.0], rank=47),
        ours_run("fp32", 4, 2, 5.0, peak_rss_gb=5.0),
    ],
}


@pytest.fixture
def result():
    return copy.deepcopy(FIXED)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A model folder that has configurations alone: the peers draw their own weights."""
    folder = tmp_path_factory.mktemp("tiny")
    for part, config in (("unet", UNET), ("vae", VAE)):
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def against():
    """against(*flags) -> the finished process of python -m bench.against."""

    def run(*flags, module="bench.against"):
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        return subprocess.run([sys.executable, "-m", module, *map(str, flags)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)

    return run
