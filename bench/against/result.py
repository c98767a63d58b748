# SPDX-License-Identifier: Apache-2.0
"""The JSON file of a measurement, rewritten whole after every run, so that a stopped measurement goes on where it was.

    {"format": "sara-bench-against", "version": 1, "date": of the first run, UTC, "commit": of the sources then, "bench": digest of the peers,
     "machine": {cpu, cores, memory_gb, extensions}, "versions": {python, torch, diffusers, peft}, "settings": {what the numbers depend on},
     "runs": [{"peer", "precision", "batch_size", "round", "trained", "rank", "wall_s", "others_cpu", "peak_rss_gb", "forward_s": [...],
               "backward_s": [...], "optimizer_s": [...], "step_s": [...], and of ours "rank_s": [...], "rank_s_mean", "saved_activation_bytes",
               "weight_gradients_s": [...] (of backward_s; files of earlier programs have none),
               "program": its commit, "method", "memory": the activations it keeps, where it says so}],
     "summaries": [medians of each cell], "ratios": [{"name", "value", "at_most", "aim", "met"}]}

Lists hold seconds of the timed steps of one run; others_cpu is the share of the machine's processor time that other processes took
meanwhile. Runs of eager-saved hold "activation_bytes" and "weight_copy_bytes" instead of times.
"""

import json
import os
import pathlib
import statistics

from bench.against.cells import Cell

FORMAT, VERSION = "sara-bench-against", 1
STEP_TIMES = ("forward_s", "backward_s", "optimizer_s", "step_s")  # of every peer
TIMES = (*STEP_TIMES, "rank_s", "weight_gradients_s")
SIZES = ("rank_s_mean", "peak_rss_gb", "saved_activation_bytes", "activation_bytes", "weight_copy_bytes")
SAME = ("bench", "machine", "versions", "settings")  # of all runs of one file


class BadResult(Exception):
    pass


def read(path):
    try:
        result = json.loads(pathlib.Path(path).read_text())
    except json.JSONDecodeError as error:
        raise BadResult(f"{path}: no JSON ({error}). Fix: give the file that python -m bench.against wrote") from None
    if not isinstance(result, dict) or result.get("format") != FORMAT or result.get("version") != VERSION:
        found = [result.get("format"), result.get("version")] if isinstance(result, dict) else type(result).__name__
        raise BadResult(f"{path}: another format (expected {FORMAT} {VERSION}, got {found}). Fix: give the file that python -m bench.against wrote")
    missing = [key for key in (*SAME, "commit", "date", "runs") if key not in result]
    if missing:
        raise BadResult(f"{path}: incomplete (expected {', '.join(missing)}). Fix: measure again")
    return result


def write(path, result):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(beside, path)


def same_measurement(path, old, new):
    """Refuses to mix numbers that do not belong together."""
    for key in SAME:
        if old[key] != new[key]:
            raise BadResult(f"{path}: measured with another {key} (expected {old[key]}, got {new[key]}). Fix: give another --output, or --restart")


def cell_of(run):
    return Cell(run["peer"], run["precision"], run["batch_size"])


def is_done(result, cell, round_number):
    return any(cell_of(run) == cell and run["round"] == round_number for run in result["runs"])


def summary(runs):
    """Of one cell: the median over rounds of each round's median, and the lowest and highest of these for the step."""
    first = runs[0]
    line = {key: first.get(key) for key in ("peer", "precision", "batch_size", "trained", "rank")} | {"rounds": len(runs)}
    for field in TIMES:
        medians = [statistics.median(run[field]) for run in runs if field in run]
        if medians:
            line[field] = statistics.median(medians)
            if field == "step_s":
                line["step_s_low"], line["step_s_high"] = min(medians), max(medians)
    for field in SIZES:
        values = [run[field] for run in runs if field in run]
        if values:
            line[field] = statistics.median(values)
    return line


def summaries(result):
    """{cell: summary} in the order in which the cells were first run."""
    by_cell = {}
    for run in result["runs"]:
        by_cell.setdefault(cell_of(run), []).append(run)
    return {cell: summary(runs) for cell, runs in by_cell.items()}
