# SPDX-License-Identifier: Apache-2.0
"""Tux Paint's stamps of animals, food, plants, vehicles and things, captioned by the text beside each.

Photographs and cartoons. The package states one licence for all of them: GPL-2 or later.
"""

import re
from pathlib import Path

from PIL import Image

from .picture import MissingSource, Picture, Source, transparent_ground

ROOT = Path("/usr/share/tuxpaint/stamps")
FOLDERS = ("animals", "food", "plants", "vehicles", "household", "clothes", "hobbies", "sports", "space", "town/houses")

SOURCE = Source(
    "tuxpaint-stamps-default",
    "Tux Paint stamps",
    "GPL-2.0-or-later (Bill Kendrick and contributors)",
    "/usr/share/doc/tuxpaint-stamps-default/copyright",
)


def caption_of(text: str) -> str | None:
    """'A red apple, cut in half.' -> 'red apple'; None when more than three words remain."""
    first = text.splitlines()[0].strip().rstrip(".!")
    first = re.split(r"[,(:;]|\. ", first)[0].strip().lower()
    first = re.sub(r"^(an?|the|some) ", "", first)
    return first if first and len(first.split()) <= 3 and re.fullmatch(r"[a-z' -]+", first) else None


def pictures(everything: bool = False):
    if not ROOT.exists():
        raise MissingSource(f"{ROOT} is missing: install the package tuxpaint-stamps-default")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.png")):
            beside = path.with_suffix(".txt")
            if not beside.exists() or not beside.read_text(encoding="utf-8").strip():
                continue
            caption = caption_of(beside.read_text(encoding="utf-8"))
            if caption is None and everything:
                caption = path.stem.replace("_", " ").replace("-", " ").lower()
            if caption is None:
                continue
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "-")
            with Image.open(path) as image:
                yield Picture(f"stamp-{name}", caption, transparent_ground(image), SOURCE.package)
