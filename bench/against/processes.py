# SPDX-License-Identifier: Apache-2.0
"""One run of one cell: a process that lives for the warm-up and the timed steps, alone in memory."""

import json
import os
import pathlib
import subprocess
import sys

from bench.against.cells import EAGER, OURS
from bench.against.machine import ROOT


class RunFailed(Exception):
    pass


def environment(settings):
    """No SARA_* variable reaches a run: each would be a flag that the result does not name."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SARA_")}
    python = [str(ROOT), str(pathlib.Path(settings["sara"]).resolve().parent / "python"), clean.get("PYTHONPATH", "")]
    return dict(clean, OMP_NUM_THREADS=str(settings["threads"]), HF_HUB_OFFLINE="1", PYTHONPATH=os.pathsep.join(filter(None, python)))


def task_flags(cell, settings):
    return ["--model", settings["model"], "--resolution", str(settings["resolution"]), "--batch-size", str(cell.batch_size), "--precision", cell.precision]


def failed(cell, process, errors):
    lines = [line for line in errors.strip().splitlines() if line.strip()]
    reason = lines[-1] if lines else "no message; killed, for want of memory perhaps" if process.returncode < 0 else "no message"
    return RunFailed(f"{cell}: ended with {process.returncode}: {reason}. Fix: repair that, or leave it out of --peers; the same command goes on from here")


def finished(cell, command, settings):
    """The last JSON object on stdout of a command that runs by itself."""
    done = subprocess.run(command, cwd=ROOT, env=environment(settings), capture_output=True, text=True)
    if done.returncode:
        raise failed(cell, done, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def run_worker(cell, settings, errors):
    """errors: a file that takes the worker's stderr."""
    command = [sys.executable, "-m", "bench.against.worker", cell.peer, *task_flags(cell, settings), "--budget", str(settings["budget"]), "--adamw", settings["adamw"]]
    if cell.peer in settings["ranks"]:
        command += ["--rank", str(settings["ranks"][cell.peer])]
    with subprocess.Popen(command, cwd=ROOT, env=environment(settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process:

        def answer():
            line = process.stdout.readline()
            if not line:
                process.wait()
                errors.seek(0)
                raise failed(cell, process, errors.read())
            return json.loads(line)

        ready = answer()
        steps = []
        for _ in range(settings["warmup"] + settings["steps"]):
            try:
                process.stdin.write("step\n")
                process.stdin.flush()
            except BrokenPipeError:
                pass  # answer() tells why it ended
            steps.append(answer())
    run = {key: ready[key] for key in ("trained", "rank", "parameters", "threads")}
    for field in ("forward_s", "backward_s", "optimizer_s", "step_s"):
        run[field] = [step[field] for step in steps[settings["warmup"] :]]
    return {**run, "peak_rss_gb": steps[-1]["peak_rss_gb"]}


def ours_command(cell, settings):
    budget = ["--budget", str(settings["budget"] // OURS[cell.peer])]
    counts = ["--steps", str(settings["steps"]), "--warmup", str(settings["warmup"])]
    return [settings["sara"], "bench", "train-step", "--device", "cpu", *task_flags(cell, settings), *budget, "--lr", "1e-4", *counts, "--json", *settings["ours_flags"]]


def run_ours(cell, settings):
    told = finished(cell, ours_command(cell, settings), settings)
    if "samples" not in told:
        raise RunFailed(f"{settings['sara']}: an older program, which prints no samples of each step. Fix: make build")
    run = {"trained": told["selected"], "rank": None, "threads": told["threads"], "peak_rss_gb": told["peak_rss_gb"], "program": told["commit"]}
    more = {key: value for key, value in told.items() if key in ("method", "memory", "rank_s_mean")}
    return {**run, **told["samples"], **more, "saved_activation_bytes": told["saved_activation_bytes"]}


def run_cell(cell, settings, errors):
    if cell.peer in OURS:
        return run_ours(cell, settings)
    if cell.peer == EAGER:
        return finished(cell, [sys.executable, "-m", "bench.against.saved_tensors", *task_flags(cell, settings)], settings)
    return run_worker(cell, settings, errors)
