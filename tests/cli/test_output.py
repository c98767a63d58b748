# SPDX-License-Identifier: Apache-2.0
"""stdout and stderr: results here, everything else there, and what happens when one of them is gone."""

import os
import subprocess

from probe import BUILD


def test_a_closed_pipe_ends_quietly(model):
    for _ in range(3):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([BUILD / "sara", "inspect", model, "--tensors"], stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_standard_output_is_an_error(model):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BUILD / "sara", "inspect", model], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4
    assert done.stderr.startswith("sara: error: standard output: ") and done.stderr.count("\n") == 1


def test_standard_output_that_is_not_open_receives_nothing(model, tmp_path):
    command = f'"{BUILD}/sara" generate --model "{model}" --prompt x --steps 1 --output "{tmp_path}/out" >&- 2>&-'
    assert subprocess.run(["sh", "-c", command]).returncode == 0
    assert (tmp_path / "out" / "0000.png").read_bytes()[:4] == b"\x89PNG"


def test_control_characters_in_names_are_shown_escaped(refused):
    refused(3, ["a\\x0ab"], "inspect", "a\nb")


def test_exhausted_memory_is_exit_6_with_remedies(model, tmp_path):
    big = ["--width", "8192", "--height", "8192"]
    command = [BUILD / "sara", "generate", "--model", model, "--prompt", "x", "--steps", "1", "--output", tmp_path / "out", *big]
    limited = ["sh", "-c", 'ulimit -v 3000000; exec "$@"', "sh", *command]
    done = subprocess.run(limited, capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
    errors = [line for line in done.stderr.splitlines() if line.startswith("sara: error: ")]
    assert done.returncode == 6, done.stderr
    assert len(errors) == 1 and "out of memory" in errors[0] and "2.15 GB" in errors[0] and "--batch-size" in errors[0] and done.stdout == ""


def test_quiet_silences_progress(sara, model, tmp_path):
    words = ["generate", "--model", model, "--prompt", "x", "--steps", "1"]
    assert "drawing" in sara(*words, "--output", tmp_path / "a").stderr
    assert sara(*words, "--output", tmp_path / "b", "--quiet").stderr == ""
