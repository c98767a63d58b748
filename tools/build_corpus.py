#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds an imagefolder of small named pictures for `sara pretrain` from freely licensed Debian packages.

    apt-get install fonts-noto-color-emoji unicode-data openclipart-png
    tools/build_corpus.py --output out/corpus

Writes PNG files, `SOURCES.md` (package, version, licence of every source) and, last and in one step,
`metadata.jsonl`. The same packages give the same bytes. The sources named by default set no terms for what is
trained on them; `stamps` (tuxpaint, GPL-2+) is there for experiments and has to be asked for.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from corpus import clipart, emoji, stamps
from corpus.picture import MissingSource, colourfulness, coverage, fingerprint, framed

SOURCES = {"emoji": emoji, "clipart": clipart, "stamps": stamps}
DEFAULT = ("emoji", "clipart")
MOST_ALIKE = 8  # pictures of one source under one caption
NEAR = 0.035  # mean absolute difference of two fingerprints below which two pictures of a source are the same drawing


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(DEFAULT), help="default: %(default)s")
    parser.add_argument("--size", type=int, default=64, help="side in pixels, default %(default)s")
    parser.add_argument(
        "--margin", type=float, default=0.06, help="empty border as a share of the side, default %(default)s"
    )
    parser.add_argument("--all", action="store_true", help="also take drawings whose names nobody has checked")
    parser.add_argument("--only", type=Path, help="file with one caption a line: take these alone, one picture each")
    parser.add_argument("--limit", type=int, default=700, help="most pictures taken of one source other than emoji")
    return parser.parse_args(argv)


def package_version(package: str) -> str:
    answer = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True)
    return answer.stdout.strip() or "unknown version"


def selected(module, options):
    """(file stem, caption, RGB image) of one source: framed, coloured, no near doubles."""
    checked = module is not emoji and not options.all  # emoji are clean; a black heart is meant to be black
    prints, alike = [], collections.Counter()
    for picture in module.pictures(options.all):
        image = framed(picture.image, options.size, options.margin)
        if (
            image is None
            or checked
            and (colourfulness(image) < 18 or coverage(image) < 0.12 or alike[picture.caption] == MOST_ALIKE)
        ):
            continue
        mark = fingerprint(image)
        if checked and prints and np.abs(np.stack(prints) - mark).mean(axis=1).min() < NEAR:
            continue
        prints.append(mark)
        alike[picture.caption] += 1
        yield picture.name, picture.caption, image
        if checked and len(prints) == options.limit:
            return


def write_corpus(options) -> collections.Counter:
    options.output.mkdir(parents=True, exist_ok=True)
    rows, counts = [], collections.Counter()
    wanted = set(options.only.read_text(encoding="utf-8").split("\n")) if options.only else None
    for name in options.sources:
        for stem, caption, image in selected(SOURCES[name], options):
            if wanted is not None:
                if caption not in wanted:
                    continue
                wanted.remove(caption)
            image.save(options.output / f"{stem}.png", optimize=True)
            rows.append({"file_name": f"{stem}.png", "text": caption})
            counts[name] += 1
    kept = {row["file_name"] for row in rows}
    for stale in options.output.glob("*.png"):
        if stale.name not in kept:
            stale.unlink()
    (options.output / "SOURCES.md").write_text(sources_text(options, counts), encoding="utf-8")
    partial = options.output / "metadata.jsonl.part"
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.replace(partial, options.output / "metadata.jsonl")
    return counts


def sources_text(options, counts) -> str:
    lines = [
        "# Where these pictures come from",
        "",
        "| package | version | pictures | what | licence | stated in |",
        "|---|---|---|---|---|---|",
    ]
    for name in options.sources:
        source = SOURCES[name].SOURCE
        version = package_version(source.package)
        lines.append(
            f"| {source.package} | {version} | {counts[name]} | {source.what} | {source.license} | `{source.where}` |"
        )
    how = f"centred with a margin of {options.margin:g} and scaled to {options.size} pixels on white"
    return "\n".join(lines) + f"\n\nEach was cropped to its content, {how}.\n"


def main(argv=None) -> int:
    options = arguments(argv)
    try:
        counts = write_corpus(options)
    except MissingSource as error:
        print(f"build_corpus: {error}", file=sys.stderr)
        return 1
    for name, count in counts.items():
        print(f"{name}: {count}")
    print(f"total: {sum(counts.values())} in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
