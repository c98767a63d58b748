# SPDX-License-Identifier: Apache-2.0
import json
from types import SimpleNamespace

import build_corpus
import numpy as np
import pytest
from corpus import clipart, emoji, stamps
from corpus.picture import MissingSource, Picture, Source, colourfulness, coverage, framed, transparent_ground
from PIL import Image, ImageDraw


def blob(colour, box, size=(100, 80)):
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    return image


def fake_source(pictures):
    return SimpleNamespace(
        SOURCE=Source("nowhere", "squares", "CC0", "/nowhere"), pictures=lambda everything: iter(pictures)
    )


def striped(k):
    """Red and blue stripes of a width that differs with k: no two are near doubles."""
    image = Image.new("RGBA", (64, 64), (200, 30, 30, 255))
    draw = ImageDraw.Draw(image)
    for start in range(0, 64, 8 + 4 * k):
        draw.rectangle((start, 0, start + 3 + 2 * k, 63), fill=(30, 30, 200, 255))
    return image


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_a_picture_is_cropped_centred_and_given_its_margin():
    out = np.asarray(framed(blob((255, 0, 0, 255), (10, 20, 49, 39)), size=50, margin=0.1))
    red = (out[..., 0] > 200) & (out[..., 1] < 60)
    rows, columns = np.where(red.any(axis=1))[0], np.where(red.any(axis=0))[0]
    assert out.shape == (50, 50, 3)
    assert (columns[0], columns[-1]) == (5, 44)  # 40 of 50 pixels wide
    assert (rows[0], rows[-1]) == (15, 34)  # 2:1 stays 2:1
    assert (out[0] == 255).all()


def test_an_empty_picture_has_no_frame():
    assert framed(Image.new("RGBA", (10, 10), (0, 0, 0, 0)), 64) is None


def test_only_the_white_that_touches_the_border_becomes_ground():
    image = Image.new("RGB", (40, 40), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 10, 29, 29), fill="red")
    draw.rectangle((15, 15, 24, 24), fill="white")
    alpha = np.asarray(transparent_ground(image))[..., 3]
    assert alpha[0, 0] == 0 and alpha[9, 9] == 0
    assert alpha[10, 10] == 255 and alpha[20, 20] == 255


def test_colourfulness_and_coverage_look_at_what_is_drawn():
    image = Image.new("RGB", (10, 10), "white")
    assert colourfulness(image) == 0 and coverage(image) == 0
    image.paste((100, 100, 100), (0, 0, 10, 5))
    assert colourfulness(image) == 0 and coverage(image) == 0.5
    image.paste((200, 100, 100), (0, 0, 10, 5))
    assert colourfulness(image) == 100


def test_near_doubles_line_art_and_the_ninth_of_a_caption_are_left_out(tmp_path, monkeypatch):
    grey = blob((90, 90, 90, 255), (5, 5, 60, 60))
    pictures = [
        Picture("first", "thing", striped(0), "x"),
        Picture("double", "thing", striped(0), "x"),
        Picture("grey", "thing", grey, "x"),
    ]
    pictures += [Picture(f"more{k}", "thing", striped(k), "x") for k in range(1, 6)]
    monkeypatch.setitem(build_corpus.SOURCES, "clipart", fake_source(pictures))
    monkeypatch.setattr(build_corpus, "MOST_ALIKE", 4)
    assert build_corpus.main(["--output", str(tmp_path), "--sources", "clipart", "--size", "32"]) == 0
    assert [row["file_name"] for row in rows_of(tmp_path)] == ["first.png", "more1.png", "more2.png", "more3.png"]


def test_building_again_gives_the_same_bytes_and_removes_what_is_no_longer_chosen(tmp_path, monkeypatch):
    pictures = [Picture(f"p{k}", f"thing {k}", striped(k), "x") for k in range(3)]
    monkeypatch.setitem(build_corpus.SOURCES, "clipart", fake_source(pictures))
    arguments = ["--output", str(tmp_path), "--sources", "clipart"]
    build_corpus.main(arguments)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"p0.png", "p1.png", "p2.png", "metadata.jsonl", "SOURCES.md"}
    assert b"CC0" in before["SOURCES.md"]
    build_corpus.main(arguments)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.setitem(build_corpus.SOURCES, "clipart", fake_source(pictures[:1]))
    build_corpus.main(arguments)
    assert (
        {path.name for path in tmp_path.glob("*.png")} == {"p0.png"} == {row["file_name"] for row in rows_of(tmp_path)}
    )


def test_a_missing_package_is_named(tmp_path, monkeypatch, capsys):
    def missing(everything):
        raise MissingSource("/nowhere is missing: install the package nothing")
        yield

    monkeypatch.setitem(
        build_corpus.SOURCES, "clipart", SimpleNamespace(SOURCE=Source("a", "b", "c", "d"), pictures=missing)
    )
    assert build_corpus.main(["--output", str(tmp_path), "--sources", "clipart"]) == 1
    assert "install the package nothing" in capsys.readouterr().err
    assert not (tmp_path / "metadata.jsonl").exists()


@pytest.mark.parametrize(
    "stem, caption",
    [
        ("gatto_cat_architetto_fra_01", "cat"),
        ("baloon1_01", "red balloon"),
        ("lemon_half_slice_ganson", "slice of lemon"),
        ("lemon_half_ganson", "half lemon"),
        ("lemon_simple_bw", None),
        ("contour_fox", None),
        ("an_unknown_thing", None),
    ],
)
def test_the_longest_known_beginning_names_a_drawing(stem, caption):
    assert clipart.caption_of(stem, clipart.table()) == caption


def test_unlisted_drawings_get_their_first_words_only_when_asked():
    assert clipart.caption_of("zeppelin_flying_01", {}, everything=True) == "zeppelin flying"
    assert clipart.caption_of("zeppelin_flying_01", {}) is None


@pytest.mark.parametrize(
    "text, caption",
    [
        ("A red apple.\nfr.utf8=Une pomme", "red apple"),
        ("An albino peahen (a female).", "albino peahen"),
        ("A frog that sits on a green leaf.", None),
    ],
)
def test_a_stamp_is_named_by_its_first_short_line(text, caption):
    assert stamps.caption_of(text) == caption


NAMES = """\
# group: Smileys & Emotion
# subgroup: face-smiling
1F600 ; fully-qualified # 😀 E1.0 grinning face
# group: People & Body
# subgroup: person-role
1F9D1 200D 1F33E ; fully-qualified # 🧑‍🌾 E12.1 farmer
1F468 200D 1F33E ; fully-qualified # 👨‍🌾 E4.0 man farmer
1F9D1 1F3FB 200D 1F33E ; fully-qualified # 🧑🏻‍🌾 E12.1 farmer: light skin tone
# subgroup: person-sport
1F3C3 ; fully-qualified # 🏃 E0.6 person running
1F3C3 200D 2640 FE0F ; fully-qualified # 🏃‍♀️ E4.0 woman running
# group: Travel & Places
# subgroup: time
1F550 ; fully-qualified # 🕐 E0.6 one o’clock
23F0 ; fully-qualified # ⏰ E0.6 alarm clock
23F0 FE0F ; unqualified # ⏰ E0.6 alarm clock
1F697 ; fully-qualified # 🚗 E0.6 automobile
# group: Symbols
# subgroup: arrow
2B06 FE0F ; fully-qualified # ⬆️ E0.6 up arrow
# subgroup: geometric
1F534 ; fully-qualified # 🔴 E0.6 red circle
# group: Flags
# subgroup: flag
1F3C1 ; fully-qualified # 🏁 E0.6 chequered flag
"""


def test_emoji_are_things_without_skin_tones_doubles_flags_clock_faces_and_signs(tmp_path, monkeypatch):
    (tmp_path / "names.txt").write_text(NAMES, encoding="utf-8")
    monkeypatch.setattr(emoji, "NAMES", tmp_path / "names.txt")
    assert [caption for _, caption, _ in emoji.entries()] == [
        "grinning face",
        "farmer",
        "person running",
        "alarm clock",
        "car",
        "red circle",
    ]
