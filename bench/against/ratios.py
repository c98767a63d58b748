# SPDX-License-Identifier: Apache-2.0
"""The ratios that are judged, each with its bar ("at most") and its aim. Lower is better in all of them."""

from dataclasses import dataclass

from bench.against.cells import EAGER, Cell


@dataclass(frozen=True)
class Term:
    cell: Cell
    field: str

    def value(self, summaries):
        return summaries.get(self.cell, {}).get(self.field)


@dataclass(frozen=True)
class Ratio:
    """above / below."""

    name: str
    above: Term
    below: Term
    at_most: float
    aim: float

    def cells(self):
        return {self.above.cell, self.below.cell}

    def value(self, summaries):
        above, below = self.above.value(summaries), self.below.value(summaries)
        return None if above is None or not below else above / below

    def row(self, summaries):
        value = self.value(summaries)
        return {"name": self.name, "value": value, "at_most": self.at_most, "aim": self.aim, "met": None if value is None else value <= self.at_most}


LABELS = {"fp32": "fp32", "bf16-autocast": "bf16 / bf16 autocast", "bf16": "bf16 / bf16 weights"}


def ours(precision, batch_size, peer="sara"):
    return Cell(peer, "fp32" if precision == "fp32" else "bf16", batch_size)


def step(peer, title, precision, batch_size, at_most, aim):
    name = f"our step / {title}, {LABELS[precision]}, batch {batch_size}"
    return Ratio(name, Term(ours(precision, batch_size), "step_s"), Term(Cell(peer, precision, batch_size), "step_s"), at_most, aim)


def peak(peer, title, precision, batch_size, at_most, aim):
    name = f"our peak memory / {title}, {LABELS[precision]}, batch {batch_size}"
    return Ratio(name, Term(ours(precision, batch_size), "peak_rss_gb"), Term(Cell(peer, precision, batch_size), "peak_rss_gb"), at_most, aim)


def gradient_share(peer, title, precision, at_most, aim):
    cell = ours(precision, 4, peer)
    name = f"sparse weight gradients / our step at {title}, {precision}, batch 4"
    return Ratio(name, Term(cell, "weight_gradients_s"), Term(cell, "step_s"), at_most, aim)


def rank_share(precision):
    cell = ours(precision, 4)
    return Ratio(f"rank loss / our step, {precision}, batch 4", Term(cell, "rank_s_mean"), Term(cell, "step_s"), 0.02, 0.005)


def saved(precision):
    name = f"saved-activation bytes / eager autograd, {LABELS[precision]}, batch 4"
    return Ratio(name, Term(ours(precision, 4), "saved_activation_bytes"), Term(Cell(EAGER, precision, 4), "activation_bytes"), 0.50, 0.40)


def python(precision):
    name = f"sara.AdamW in Python on diffusers' UNet / our step, {precision}, batch 4"
    return Ratio(name, Term(Cell("sara-python", precision, 4), "step_s"), Term(ours(precision, 4), "step_s"), 1.25, 1.0)


ALL = "PEFT LoRA all layers"
ATTENTION = "PEFT LoRA attention only"
DENSE = "dense selective"
BASE = "forward + input gradients"
EVERY = ("fp32", "bf16-autocast", "bf16")

RATIOS = (
    step("base", BASE, "fp32", 4, 1.08, 0.90),
    *(step("base", BASE, precision, 4, 1.10, 0.90) for precision in EVERY[1:]),
    *(step("lora-all", ALL, precision, 4, 0.80, 0.60) for precision in EVERY),
    *(step("lora-all", ALL, precision, 1, 0.90, 0.60) for precision in EVERY),
    *(step("lora-attention", ATTENTION, precision, 4, 0.92, 0.75) for precision in EVERY),
    step("dense-selective", DENSE, "fp32", 1, 0.40, 0.25),
    peak("lora-all", ALL, "bf16-autocast", 4, 0.45, 0.35),
    peak("lora-all", ALL, "fp32", 4, 0.72, 0.60),
    peak("dense-selective", DENSE, "fp32", 1, 0.36, 0.30),
    *(gradient_share("sara", "the budget", precision, 0.12, 0.07) for precision in ("fp32", "bf16")),
    *(gradient_share("sara-tenth", "a tenth of it", precision, 0.03, 0.01) for precision in ("fp32", "bf16")),
    *(rank_share(precision) for precision in ("fp32", "bf16")),
    *(saved(precision) for precision in EVERY),
    *(python(precision) for precision in ("fp32", "bf16")),
)


def needed_cells():
    return set().union(*(ratio.cells() for ratio in RATIOS))


def rows(summaries):
    return [ratio.row(summaries) for ratio in RATIOS]
