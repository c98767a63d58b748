#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the style set `examples/styles/delft`: everyday drawings in cobalt blue on a white glaze, as on Delft tiles.

    tools/build_corpus.py --only recipes/mini-sd/core_captions.txt --size 96 --output out/corpus-core
    tools/build_delft.py --corpus out/corpus-core --output examples/styles/delft

The brightness of each drawing becomes a tone of `GLAZE`. The drawings are those that models/mini-sd knows in colour, so
that the look is all there is to learn; the subjects of `corpus.held_out` stay out, and `prompts.txt` asks for ten of them.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from corpus.held_out import HELD_OUT, PROMPTS
from PIL import Image

GLAZE = ((8, 32, 84), (40, 96, 170), (150, 192, 224), (236, 243, 247))  # from black to white, at equal steps


def printed(drawing: Image.Image) -> Image.Image:
    """The drawing in blue: its brightness (0 to 255) looked up, linearly, between the tones of `GLAZE`."""
    brightness = np.asarray(drawing.convert("L"), dtype=np.float64) * (len(GLAZE) - 1) / 255
    tones = [np.interp(brightness, range(len(GLAZE)), channel) for channel in zip(*GLAZE)]
    return Image.fromarray(np.rint(np.stack(tones, axis=-1)).astype(np.uint8))


def write_style(corpus: Path, output: Path) -> int:
    rows = [json.loads(line) for line in (corpus / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if not HELD_OUT & set(row["text"].split())]
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    written = []
    for row in rows:
        name = row["text"].replace(" ", "-").replace("'", "") + ".png"
        with Image.open(corpus / row["file_name"]) as drawing:
            printed(drawing).save(output / name, optimize=True)
        written.append({"file_name": name, "text": row["text"]})
    (output / "prompts.txt").write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    (output / "SOURCES.md").write_text(sources_text(corpus, len(written)), encoding="utf-8")
    partial = output / "metadata.jsonl.part"
    partial.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
    os.replace(partial, output / "metadata.jsonl")
    return len(written)


def sources_text(corpus: Path, count: int) -> str:
    table = [line for line in (corpus / "SOURCES.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return "\n".join(
        [
            f"# delft: {count} drawings in cobalt blue on a white glaze",
            "",
            "Printed by `tools/build_delft.py` from the drawings that `tools/build_corpus.py` takes from these packages (the counts",
            "include subjects that are held out here):",
            "",
            *table,
            "",
            "The blue pictures are in no corpus; the drawings behind them are, in colour, in that of models/mini-sd.",
            "`prompts.txt` names ten subjects that are in no picture here.",
            "",
        ]
    )


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder that tools/build_corpus.py wrote")
    parser.add_argument("--output", type=Path, required=True, help="folder to write; what it holds is replaced")
    options = parser.parse_args(argv)
    if not (options.corpus / "metadata.jsonl").exists():
        print(f"build_delft: {options.corpus} holds no metadata.jsonl. Fix: run tools/build_corpus.py first", file=sys.stderr)
        return 1
    print(f"{write_style(options.corpus, options.output)} pictures in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
