# SPDX-License-Identifier: Apache-2.0
"""Markdown from a result: where it was measured, steps and memory, activations, ratios."""

from bench.against.cells import EAGER
from bench.against.peers import PEERS
from bench.against.ratios import rows
from bench.against.result import summaries

OUR_TITLES = {
    "sara": "**sara**",
    "sara-tenth": "sara, a tenth of the budget",
    "sara-frozen": "sara, only conv_in trained",  # in files of earlier programs
}
EAGER_TITLE = "eager autograd, all weights trained"


def title(peer):
    return OUR_TITLES.get(peer) or PEERS[peer].title


def table(head, lines, right_from=1):
    marks = ["---" if column < right_from else "---:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *lines))


def count(number):
    return "" if number is None else f"{number:,}"


def seconds(number):
    return "" if number is None else f"{number:.2f}"


def conditions(result):
    machine, settings, versions = result["machine"], result["settings"], result["versions"]
    programs = sorted({run["program"] for run in result["runs"] if "program" in run})
    flags = f", flags `{' '.join(settings['ours_flags'])}`" if settings["ours_flags"] else ""
    levels = sorted({str(run["memory"]) for run in result["runs"] if "memory" in run})
    memory = f", memory {', '.join(levels)}" if levels else ""
    others = max((run["others_cpu"] for run in result["runs"]), default=0)
    rounds = max(run["round"] for run in result["runs"]) if result["runs"] else 0
    return (
        f"{result['date'][:10]}, commit {result['commit']} (`build/sara` {', '.join(programs) or 'not run'}{flags}{memory}). {machine['cpu']}, {machine['cores']} cores,"
        f" {machine['memory_gb']:g} GB, {', '.join(machine['extensions'])}. torch {versions['torch']}, diffusers {versions['diffusers']}, PEFT {versions['peft']}."
        f" `{settings['model']}`, {settings['resolution']} px, budget {settings['budget']:,}, threads {settings['threads']}, AdamW of the peers: {settings['adamw']};"
        f" rounds {rounds}, each {settings['warmup']} steps of warm-up and {settings['steps']} timed. Medians over rounds of each"
        " round's median; in brackets the lowest and highest round. GB = 1e9 bytes."
        f" Other processes took up to {others:.0%} of the processor during a run."
    )


def step_table(result):
    head = ["precision", "what is trained", "rank", "weights", "step s", "forward", "backward", "optimizer", "peak GB"]
    parts = []
    lines_of = {}
    for cell, line in summaries(result).items():
        if cell.peer == EAGER:
            continue
        step = f"{line['step_s']:.2f} ({line['step_s_low']:.2f}-{line['step_s_high']:.2f})"
        parts_of_step = [seconds(line[key]) for key in ("forward_s", "backward_s", "optimizer_s")]
        numbers = [count(line["rank"]), count(line["trained"]), step, *parts_of_step, seconds(line["peak_rss_gb"])]
        lines_of.setdefault(cell.batch_size, []).append([cell.precision, title(cell.peer), *numbers])
    for batch_size in sorted(lines_of):
        parts.append(f"Batch {batch_size}:\n\n" + table(head, lines_of[batch_size], right_from=2))
    return "\n\n".join(parts)


def saved_table(result):
    """None when nothing of the kind was measured."""
    lines = []
    for cell, line in summaries(result).items():
        if cell.peer == EAGER:
            lines.append([str(cell.batch_size), cell.precision, EAGER_TITLE, f"{line['activation_bytes'] / 1e9:.3f}", f"{line['weight_copy_bytes'] / 1e9:.3f}"])
        elif cell.peer == "sara":
            lines.append([str(cell.batch_size), cell.precision, title(cell.peer), f"{line['saved_activation_bytes'] / 1e9:.3f}", "0"])
    return table(["batch", "precision", "engine", "activations GB", "weight copies GB"], sorted(lines), right_from=3) if lines else None


def number(value):
    return "not measured" if value is None else f"{value:.3f}"


def ratio_table(result):
    verdict = {True: "yes", False: "**no**", None: ""}
    lines = [[row["name"], number(row["value"]), f"{row['at_most']:g}", verdict[row["met"]], f"{row['aim']:g}"] for row in rows(summaries(result))]
    return table(["ratio", "measured", "at most", "met", "aim"], lines)


def document(result):
    parts = [conditions(result), ratio_table(result), step_table(result), saved_table(result)]
    return "\n\n".join(part for part in parts if part)
