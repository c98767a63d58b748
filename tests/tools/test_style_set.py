# SPDX-License-Identifier: Apache-2.0
"""The style sets that are shipped: whole, captioned, of one look, and without the subjects that their prompts ask for."""

import json
from pathlib import Path

import build_blueprint
import build_delft
import numpy as np
import pytest
from corpus.held_out import HELD_OUT
from PIL import Image

STYLES = Path(__file__).resolve().parents[2] / "examples" / "styles"
BLUEPRINT, DELFT = STYLES / "blueprint", STYLES / "delft"
every_style = pytest.mark.parametrize("folder", [BLUEPRINT, DELFT], ids=lambda folder: folder.name)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


@every_style
def test_every_picture_is_captioned_once_and_every_caption_has_its_picture(folder):
    files = [row["file_name"] for row in rows_of(folder)]
    assert len(set(files)) == len(files) and 150 <= len(files) <= 400
    assert set(files) == {path.name for path in folder.glob("*.png")}
    assert all(row["text"].strip() == row["text"].lower() and row["text"] for row in rows_of(folder))


def test_every_blueprint_lies_between_the_ink_and_the_ground():
    ink, ground = np.array(build_blueprint.INK, dtype=float), np.array(build_blueprint.GROUND, dtype=float)
    for row in rows_of(BLUEPRINT):
        with Image.open(BLUEPRINT / row["file_name"]) as image:
            assert (image.mode, image.size) == ("RGB", (128, 128))
            pixels = np.asarray(image, dtype=float)
        share = (pixels[..., 0] - ground[0]) / (ink[0] - ground[0])
        assert np.abs(ground + share[..., None] * (ink - ground) - pixels).max() <= 1.0, row["file_name"]
        assert (pixels[0] == ground).all() and build_blueprint.INKED[0] <= share.mean() <= build_blueprint.INKED[1]


def test_every_delft_picture_is_made_of_the_glazes_tones():
    curve = np.asarray(build_delft.printed(Image.fromarray(np.arange(256, dtype=np.uint8)[None])), dtype=int)[0]
    assert (curve[0], curve[-1]) == (pytest.approx(build_delft.GLAZE[0]), pytest.approx(build_delft.GLAZE[-1]))
    assert (np.diff(curve, axis=0) >= 0).all()  # brighter stays brighter, in each channel
    tones = {tuple(tone) for tone in curve.tolist()}
    for row in rows_of(DELFT):
        with Image.open(DELFT / row["file_name"]) as image:
            assert (image.mode, image.size) == ("RGB", (96, 96))
            pixels = np.asarray(image).reshape(-1, 3)
        assert set(map(tuple, np.unique(pixels, axis=0).tolist())) <= tones, row["file_name"]
        assert (pixels[0] == curve[-1]).all() and len(np.unique(pixels[:, 0])) > 10


@every_style
def test_the_prompts_ask_for_subjects_that_no_caption_names(folder):
    prompts = (folder / "prompts.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(prompts) == 10
    named = {word for row in rows_of(folder) for word in row["text"].split()}
    assert not named & HELD_OUT
    assert all(set(prompt.split()) & HELD_OUT for prompt in prompts)


def test_the_licences_lie_beside():
    assert "free for any use" in (BLUEPRINT / "SOURCES.md").read_text(encoding="utf-8")
    assert "images Apache-2.0" in (DELFT / "SOURCES.md").read_text(encoding="utf-8")


def test_the_tool_prints_what_a_corpus_holds_but_the_held_out(tmp_path, capsys):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    Image.new("RGB", (96, 96), (255, 0, 0)).save(corpus / "a.png")
    (corpus / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "red heart"}\n{"file_name": "a.png", "text": "tea cup"}\n')
    (corpus / "SOURCES.md").write_text("# x\n\n| package |\n|---|\n| p |\n")
    assert build_delft.main(["--corpus", str(corpus), "--output", str(tmp_path / "out")]) == 0
    assert [row["text"] for row in rows_of(tmp_path / "out")] == ["tea cup"]
    assert "| p |" in (tmp_path / "out" / "SOURCES.md").read_text()
    assert build_delft.main(["--corpus", str(tmp_path / "none"), "--output", str(tmp_path / "out")]) == 1
    assert "build_corpus.py first" in capsys.readouterr().err


@pytest.mark.skipif(not build_blueprint.FONT.exists(), reason="the package fonts-symbola is not installed")
def test_the_tool_draws_the_shipped_picture_again():
    font = build_blueprint.ImageFont.truetype(
        str(build_blueprint.FONT), build_blueprint.EM, layout_engine=build_blueprint.ImageFont.Layout.BASIC
    )
    with Image.open(BLUEPRINT / "anchor.png") as shipped:
        again = np.asarray(build_blueprint.drawing("\u2693", font, 128), dtype=int)
        assert (
            np.abs(again - np.asarray(shipped, dtype=int)).max() <= 12
        )  # glyph rasterisers differ between FreeType versions
