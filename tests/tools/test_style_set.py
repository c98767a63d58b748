# SPDX-License-Identifier: Apache-2.0
"""The style set that is shipped: whole, captioned, of one look, and without the subjects that its prompts ask for."""

import json
from pathlib import Path

import build_style
import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "styles" / "blueprint"
ROWS = [json.loads(line) for line in (FOLDER / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_picture_is_captioned_once_and_every_caption_has_its_picture():
    files = [row["file_name"] for row in ROWS]
    assert len(set(files)) == len(files) and 150 <= len(files) <= 400
    assert set(files) == {path.name for path in FOLDER.glob("*.png")}
    assert all(row["text"].strip() == row["text"].lower() and row["text"] for row in ROWS)


def test_every_picture_lies_between_the_ink_and_the_ground():
    ink, ground = np.array(build_style.INK, dtype=float), np.array(build_style.GROUND, dtype=float)
    for row in ROWS:
        with Image.open(FOLDER / row["file_name"]) as image:
            assert (image.mode, image.size) == ("RGB", (128, 128))
            pixels = np.asarray(image, dtype=float)
        share = (pixels[..., 0] - ground[0]) / (ink[0] - ground[0])
        assert np.abs(ground + share[..., None] * (ink - ground) - pixels).max() <= 1.0, row["file_name"]
        assert (pixels[0] == ground).all() and build_style.INKED[0] <= share.mean() <= build_style.INKED[1]


def test_the_prompts_ask_for_subjects_that_no_caption_names():
    prompts = (FOLDER / "prompts.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(prompts) == 10
    named = {word for row in ROWS for word in row["text"].split()}
    assert not named & build_style.HELD_OUT
    assert all(set(prompt.split()) & build_style.HELD_OUT for prompt in prompts)


def test_the_licence_lies_beside():
    assert "free for any use" in (FOLDER / "SOURCES.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not build_style.FONT.exists(), reason="the package fonts-symbola is not installed")
def test_the_tool_draws_the_shipped_picture_again():
    font = build_style.ImageFont.truetype(
        str(build_style.FONT), build_style.EM, layout_engine=build_style.ImageFont.Layout.BASIC
    )
    with Image.open(FOLDER / "anchor.png") as shipped:
        again = np.asarray(build_style.drawing("\u2693", font, 128), dtype=int)
        assert (
            np.abs(again - np.asarray(shipped, dtype=int)).max() <= 12
        )  # glyph rasterisers differ between FreeType versions
