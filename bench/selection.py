#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long does a budget take on a model of SDXL's size, and how much memory beside the model?

    python bench/selection.py [--weights 2600000000] [--threads 2] [--budget 2%]
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "parity"))

from probe import run_probe  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--weights", type=int, default=2_600_000_000)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--budget", default="2%")
options = parser.parse_args()

print(f"{options.weights:,} bf16 weights, {options.threads} threads, budget {options.budget}")
for rule in ["below", "largest", "random", "smallest_per_tensor"]:
    cost = {name: value.item() for name, value in run_probe("selection", config=dict(vars(options), rule=rule)).items()}
    share = 100 / cost["model_bytes"]
    print(
        f"{rule:20s} threshold {cost['threshold_seconds']:.1f} s, {cost['threshold_extra_bytes'] * share:.2f} % more memory;"
        f" whole selection {cost['select_seconds']:.1f} s, {cost['select_extra_bytes'] * share:.2f} % with the mask of {cost['selected']:,.0f}"
    )
