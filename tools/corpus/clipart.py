# SPDX-License-Identifier: Apache-2.0
"""Colour drawings of the Open Clip Art Library, named by the beginning of their file names.

The library's file names are `<title>_<author>_<nn>`, in several languages and cut at 24 letters. `clipart_names.tsv`
maps the beginnings worth having to plain English; the longest one that matches names the picture.
`clipart_left_out.txt` lists files that do not show what they are named after.
"""

from pathlib import Path

from PIL import Image

from .picture import MissingSource, Picture, Source, transparent_ground

ROOT = Path("/usr/share/openclipart/png")
HERE = Path(__file__).parent
FOLDERS = (
    "animals", "food", "plants", "transportation", "tools", "recreation", "buildings", "electronics", "office",
    "education", "containers", "science", "people/clothing", "unsorted", "geography/astronomy",
    "signs_and_symbols/weather", "computer/hardware",
)  # fmt: skip
NOT_PICTURES = ("roadsigns", "aiga-symbols", "games", "religion", "boating/knot", "duplicates")
LARGEST = 4_000_000  # pixels; larger files are slow and add nothing at this size

SOURCE = Source(
    "openclipart-png",
    "drawings of the Open Clip Art Library",
    "public domain (Creative Commons Public Domain Dedication)",
    "/usr/share/doc/openclipart-png/copyright",
)


def words_of(stem: str) -> list[str]:
    return [word for word in stem.lower().replace("-", "_").split("_") if word]


def table() -> dict[tuple[str, ...], str]:
    lines = (HERE / "clipart_names.tsv").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return {tuple(key.split()): caption for key, caption in pairs}


def caption_of(stem: str, names: dict[tuple[str, ...], str], everything: bool = False) -> str | None:
    """The caption, or None. With `everything`, unlisted files are named by the words before the first number."""
    words = words_of(stem)
    if "bw" in words or "contour" in words or "outline" in words or "symbol" in words:
        return None
    for length in range(len(words), 0, -1):
        if tuple(words[:length]) in names:
            return names[tuple(words[:length])]
    plain = [word for word in words[:2] if word.isalpha() and len(word) > 2]
    return " ".join(plain) if everything and plain else None


def pictures(everything: bool = False):
    if not ROOT.exists():
        raise MissingSource(f"{ROOT} is missing: install the package openclipart-png")
    names = table()
    left_out = set((HERE / "clipart_left_out.txt").read_text(encoding="utf-8").split())
    seen = set()
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.png")):
            relative = path.relative_to(ROOT).as_posix()
            caption = caption_of(path.stem, names, everything)
            if (
                caption is None
                or path.stem in seen
                or path.stem in left_out
                or any(part in relative for part in NOT_PICTURES)
            ):
                continue
            seen.add(path.stem)  # the library files one drawing under several folders
            with Image.open(path) as image:
                if image.width * image.height > LARGEST:
                    continue
                yield Picture(f"clipart-{path.stem}", caption, transparent_ground(image), SOURCE.package)
