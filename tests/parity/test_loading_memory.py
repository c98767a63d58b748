# SPDX-License-Identifier: Apache-2.0
"""Loading takes the weights in their final type, 5 % and 300 MB; converting takes one tensor, whatever the size of the model."""

import os
import subprocess
import sys

import pytest
from probe import BUILD, ROOT, run_probe

sys.path.insert(0, str(ROOT / "tests" / "support"))
import diffusers_models as models  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """136 M weights, 542 MB in fp32."""
    root = tmp_path_factory.mktemp("middle")
    folder = models.save_sd(root / "model", root / "scratch")
    wide = models.small_unet(64, 8, False, block_out_channels=(256, 512, 512))
    wide.save_pretrained(folder / "unet")
    return folder


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "middle.safetensors"
    assert measured("convert", "--model", model, "--output", path)[0] == 0
    return path


# A process begins with the peak of the one it was forked from, so a small one stands between.
MEASURE = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024)
"""


def measured(*words):
    """Exit code, and the peak of resident memory in bytes."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SARA_")}
    command = [sys.executable, "-c", MEASURE, BUILD / "sara", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=dict(environment, OMP_NUM_THREADS="1"))
    code, peak = done.stdout.split()
    return int(code), int(peak)


def test_converting_takes_no_memory_for_the_model(model, file, tmp_path):
    assert file.stat().st_size > 540e6
    for words in (["--output", tmp_path / "half.safetensors", "--dtype", "fp16"], ["--output", tmp_path / "folder", "--dtype", "bf16"]):
        for source in (model, file):
            code, peak = measured("convert", "--model", source, *words, "--overwrite")
            assert code == 0 and peak < 300e6, peak


@pytest.mark.parametrize("layout", ["folder", "file"])
@pytest.mark.parametrize("stored, precision", [("fp32", "fp32"), ("fp32", "bf16"), ("fp32", "fp16"), ("fp16", "fp32")])
def test_loading_takes_the_weights_and_little_more(layout, stored, precision, model, file, tmp_path):
    path = {"folder": model, "file": file}[layout]
    if stored == "fp16":
        path = tmp_path / ("half" if layout == "folder" else "half.safetensors")
        assert measured("convert", "--model", model, "--output", path, "--dtype", "fp16")[0] == 0
    found = run_probe("load_memory", config=dict(model=str(path), precision=precision))
    weights, peak = found["weights"].item(), found["peak"].item()
    assert weights > (540e6 if precision == "fp32" else 270e6)
    assert peak <= 1.05 * weights + 300e6, (weights, peak)
