#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the style set `examples/styles/blueprint`: white line drawings on blue, from the glyphs of the font Symbola.

    apt-get install fonts-symbola unicode-data
    tools/build_blueprint.py --output examples/styles/blueprint

A style set teaches a look, not subjects: everything in `HELD_OUT` stays out of it, and `prompts.txt` asks for ten of
those, so that a picture made from them shows that the style was learnt apart from its subjects. The captions are
those of tools/build_corpus.py, whose pictures are other drawings.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from build_corpus import package_version
from corpus import emoji
from corpus.held_out import HELD_OUT, PROMPTS
from corpus.picture import MissingSource

FONT = Path("/usr/share/fonts/truetype/ancient-scripts/Symbola_hint.ttf")
INK, GROUND = (255, 255, 255), (16, 62, 150)
EM = 400  # pixels; the glyphs are drawn large, thickened, then reduced
THICKEN = 0.006  # of the picture's side, on each side of a stroke: hair lines would vanish at 64 pixels
MARGIN = 0.08
SHADES = 24  # levels between ground and ink; keeps the files small
INKED = (0.08, 0.36)  # share of a picture that may be ink: neither a speck nor a filled shape

SUBGROUPS = {
    "animal-mammal", "animal-bird", "animal-amphibian", "animal-reptile", "animal-marine", "animal-bug",
    "plant-flower", "plant-other", "food-fruit", "food-vegetable", "food-prepared", "food-asian", "food-marine",
    "food-sweet", "drink", "dishware", "place-building", "place-religious", "place-other", "transport-ground",
    "transport-water", "transport-air", "time", "sky & weather", "event", "award-medal", "sport", "game",
    "arts & crafts", "clothing", "sound", "music", "musical-instrument", "phone", "computer", "light & video",
    "book-paper", "mail", "writing", "office", "lock", "tool", "science", "medical", "household", "face-smiling",
    "face-glasses", "face-costume",
}  # fmt: skip

# Captions of glyphs that are full of ink, show letters or do not show what they are named after.
UNCLEAR = set((Path(__file__).parent / "corpus" / "glyphs_left_out.txt").read_text(encoding="utf-8").splitlines())


def subjects():
    """(character, caption) of the glyphs in the set."""
    for characters, caption, subgroup in emoji.entries():
        bare = characters.replace("\ufe0f", "")
        if len(bare) == 1 and subgroup in SUBGROUPS and caption not in UNCLEAR and not HELD_OUT & set(caption.split()):
            yield bare, caption


def drawing(character: str, font: ImageFont.FreeTypeFont, size: int) -> Image.Image | None:
    """White ink on the blue ground, centred; None when the glyph is empty or outside `INKED`."""
    ink = Image.new("L", (3 * EM, 3 * EM))
    ImageDraw.Draw(ink).text((EM, EM), character, font=font, fill=255)
    box = ink.getbbox()
    if box is None:
        return None
    ink = ink.crop(box)
    side = round(max(ink.size) / (1 - 2 * MARGIN))
    square = Image.new("L", (side, side))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    square = square.filter(ImageFilter.MaxFilter(2 * round(side * THICKEN) + 1)).resize(
        (size, size), Image.Resampling.LANCZOS
    )
    share = np.rint(np.asarray(square, dtype=np.float32)[..., None] / 255 * SHADES) / SHADES
    if not INKED[0] <= share.mean() <= INKED[1]:
        return None
    return Image.fromarray(np.rint(share * INK + (1 - share) * np.array(GROUND)).astype(np.uint8))


def write_style(output: Path, size: int) -> int:
    if not FONT.exists():
        raise MissingSource(f"{FONT} is missing: install the package fonts-symbola")
    output.mkdir(parents=True, exist_ok=True)
    font = ImageFont.truetype(str(FONT), EM, layout_engine=ImageFont.Layout.BASIC)
    known = emoji.characters_of(FONT)
    rows = []
    for character, caption in subjects():
        picture = drawing(character, font, size) if ord(character) in known else None
        if picture is None:
            continue
        name = caption.replace(" ", "-").replace("'", "") + ".png"
        picture.save(output / name, optimize=True)
        rows.append({"file_name": name, "text": caption})
    for stale in {path.name for path in output.glob("*.png")} - {row["file_name"] for row in rows}:
        (output / stale).unlink()
    (output / "prompts.txt").write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    (output / "SOURCES.md").write_text(sources_text(len(rows)), encoding="utf-8")
    partial = output / "metadata.jsonl.part"
    partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    os.replace(partial, output / "metadata.jsonl")
    return len(rows)


def sources_text(count: int) -> str:
    return f"""# blueprint: {count} white line drawings on blue

Drawn by `tools/build_blueprint.py` from glyphs of the font Symbola (George Douros), Debian package fonts-symbola
{package_version("fonts-symbola")}. Its copyright file states the licence of the font:

> Fonts are free for any use; they may be opened, edited, modified, regenerated, packaged and redistributed.

Captions are character names of the Unicode Standard's emoji-test.txt (Debian package unicode-data
{package_version("unicode-data")}, Unicode licence).
The pictures of this folder may be used for any purpose.

`prompts.txt` names ten subjects that are in no picture here.
"""


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--size", type=int, default=128, help="side in pixels, default %(default)s")
    options = parser.parse_args(argv)
    try:
        print(f"{write_style(options.output, options.size)} pictures in {options.output}")
    except MissingSource as error:
        print(f"build_blueprint: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
