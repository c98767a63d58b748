# SPDX-License-Identifier: Apache-2.0
"""Measures a training step of sara and of its peers, interleaved: every round visits every cell once, one process in memory at a time.

    python -m bench.against                                           everything: batch 1 and 4, every peer and precision
    python -m bench.against --cells ratios                            only what the table of ratios needs
    python -m bench.against --peers base,lora-all,sara --batch-sizes 1,2,4,8

From the root of the repository, with build/sara built, torch, diffusers and peft installed, and nothing else running. Every finished run is written at
once to --output; the same command goes on from there. Markdown on stdout, progress on stderr.
"""

import argparse
import datetime
import os
import pathlib
import shlex
import statistics
import sys
import tempfile
import time

from bench.against.cells import OURS, PEERS, PRECISIONS, cells_of
from bench.against.machine import ROOT, OtherProcesses, bench_digest, commit, machine, versions
from bench.against.model import BadModel, latent_side
from bench.against.processes import RunFailed, run_cell
from bench.against.ratios import needed_cells, rows
from bench.against.result import FORMAT, VERSION, BadResult, cell_of, is_done, read, same_measurement, summaries, write
from bench.against.tables import document

QUIET = 0.05  # share of the processor that others may take before a run is marked
RANKED = ("lora-attention", "lora-all", "shira")


def names(legal):
    def parse(words):
        chosen = words.split(",")
        wrong = [name for name in chosen if name not in legal]
        if wrong:
            raise argparse.ArgumentTypeError(f"unknown {wrong[0]!r} (expected some of {','.join(legal)})")
        return chosen

    return parse


def positive(word):
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"out of range (expected at least 1, got {word})")
    return number


def positives(words):
    return [positive(word) for word in words.split(",")]


def count(word):
    """50M, 5K or 50000000."""
    unit = {"K": 10**3, "M": 10**6}.get(word[-1:].upper())
    return positive(word) if unit is None else positive(str(round(float(word[:-1]) * unit)))


def rank(word):
    peer, _, number = word.partition("=")
    if peer not in RANKED:
        raise argparse.ArgumentTypeError(f"{peer!r} has no rank (expected one of {', '.join(RANKED)})")
    return peer, positive(number)


def parsed(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.against", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", default="random:sd15", help="random:sd15, random:sd20 or a model folder, whose configuration the peers take with random weights (default random:sd15)")
    add("--resolution", type=positive, default=256, help="side of the picture in pixels (default 256)")
    add("--budget", type=count, default="50M", help="weights to train (default 50M)")
    add("--rank", type=rank, action="append", default=[], metavar="PEER=R", help="rank of a peer (default: the one that trains nearest to the budget)")
    add("--peers", type=names(PEERS), default=list(PEERS), help=f"some of {','.join(PEERS)} (default: all)")
    add("--precisions", type=names(PRECISIONS), default=list(PRECISIONS), help=f"some of {','.join(PRECISIONS)} (default: all)")
    add("--batch-sizes", type=positives, default="1,4", help="(default 1,4)")
    add("--cells", choices=["all", "ratios"], default="all", help="all, or only those that the table of ratios needs (default all)")
    add("--rounds", type=positive, default=3, help="(default 3)")
    add("--warmup", type=positive, default=3, help="steps before the timed ones in every run (default 3)")
    add("--steps", type=positive, default=4, help="timed steps in every run (default 4)")
    add("--threads", type=positive, default=len(os.sched_getaffinity(0)), help="of every process (default: all cores)")
    add("--adamw", choices=["default", "fused"], default="default", help="torch.optim.AdamW of the peers: as scripts call it, or fused=True (default default)")
    build = os.environ.get("SARA_BUILD", "build")
    add("--sara", default=f"{build}/sara", help="the program; python/sara beside it is the Python package (default $SARA_BUILD/sara, build/sara)")
    add("--ours-flags", type=shlex.split, default=[], metavar="FLAGS", help='more flags of sara bench train-step, in one word: --ours-flags="--rank-mode all"')
    add("--output", type=pathlib.Path, help="result file (default bench/results/train-step-COMMIT.json)")
    add("--restart", action="store_true", help="begin anew where the result file exists")
    return parser.parse_args(arguments)


def settings_of(options):
    """What the numbers depend on."""
    same = {key: getattr(options, key) for key in ("model", "resolution", "budget", "warmup", "steps", "threads", "adamw", "ours_flags")}
    return {**same, "ranks": dict(options.rank)}


def opened(path, options):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    place = {"commit": commit(), "bench": bench_digest(), "machine": machine(), "versions": versions()}
    new = {"format": FORMAT, "version": VERSION, "date": now, **place, "settings": settings_of(options), "runs": []}
    if options.restart or not path.exists():
        return new
    old = read(path)
    same_measurement(path, old, new)
    return old


def check_program(path, result, run):
    others = {other["program"] for other in result["runs"] if "program" in other} - {run["program"]}
    if others:
        raise BadResult(f"{path}: measured with another build of sara (expected {others.pop()}, got {run['program']}). Fix: give another --output, or --restart")


def minutes_left(result, left):
    """From what the same cell took before, or else the mean of all."""
    known = {}
    for run in result["runs"]:
        known.setdefault(cell_of(run), []).append(run["wall_s"])
    mean = statistics.mean(run["wall_s"] for run in result["runs"])
    return sum(statistics.mean(known.get(cell, [mean])) for _, cell in left) / 60


def told(run):
    if "step_s" not in run:
        return f"{run['activation_bytes'] / 1e9:.2f} GB kept"
    return f"step {statistics.median(run['step_s']):.2f} s, peak {run['peak_rss_gb']:.2f} GB"


def planned(options):
    """[(round, cell)] in order. Bytes kept by eager autograd do not vary: one round is enough."""
    cells = cells_of(options.peers, options.precisions, options.batch_sizes)
    if options.cells == "ratios":
        cells = [cell for cell in cells if cell in needed_cells()]
    return [(k, cell) for k in range(1, options.rounds + 1) for cell in cells if k == 1 or cell.peer != "eager-saved"]


def measure(options, path, result):
    settings = {**result["settings"], "sara": options.sara}
    plan = planned(options)
    for index, (round_number, cell) in enumerate(plan):
        if is_done(result, cell, round_number):
            continue
        start, others = time.monotonic(), OtherProcesses()
        with tempfile.TemporaryFile("w+") as errors:
            run = run_cell(cell, settings, errors)
        if "program" in run:
            check_program(path, result, run)
        run["others_cpu"] = round(others.share(), 3)
        place = {"peer": cell.peer, "precision": cell.precision, "batch_size": cell.batch_size, "round": round_number}
        result["runs"].append({**place, "wall_s": round(time.monotonic() - start, 1), **run})
        write(path, {**result, "summaries": list(summaries(result).values()), "ratios": rows(summaries(result))})
        left = [item for item in plan[index + 1 :] if not is_done(result, item[1], item[0])]
        busy = f"; others took {run['others_cpu']:.0%} of the processor" if run["others_cpu"] > QUIET else ""
        print(f"[{index + 1}/{len(plan)}] round {round_number}, {cell}: {told(run)}{busy}; {minutes_left(result, left):.0f} min left", file=sys.stderr, flush=True)


def main(arguments):
    options = parsed(arguments)
    path = options.output or ROOT / "bench" / "results" / f"train-step-{commit()}.json"
    try:
        latent_side(options.model, options.resolution)
        if not planned(options):
            raise BadResult(f"--peers {','.join(options.peers)}: none of them runs in {','.join(options.precisions)}. Fix: give other --peers or --precisions")
        if set(options.peers) & {*OURS, "sara-python"} and not pathlib.Path(options.sara).is_file():
            raise BadResult(f"{options.sara}: no such program. Fix: make build, or give --sara, or leave sara out of --peers")
        result = opened(path, options)
        measure(options, path, result)
        print(document(result))
    except (BadModel, BadResult, RunFailed, OSError) as error:
        sys.exit(f"bench.against: error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
