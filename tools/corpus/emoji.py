# SPDX-License-Identifier: Apache-2.0
"""Emoji drawn from the bitmap strike of Noto Color Emoji, named by Unicode's emoji-test.txt.

Left out: skin tones and hair styles, the man and woman doubles of a neutral person, families, flags, keycaps, clock
faces and everything that is a sign or letter rather than a thing.
"""

import re
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .picture import MissingSource, Picture, Source

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
NAMES = Path("/usr/share/unicode/emoji/emoji-test.txt")
STRIKE = 109  # pixels per em of the font's only bitmap strike

SOURCE = Source(
    "fonts-noto-color-emoji",
    "emoji of Noto Color Emoji; names from unicode-data's emoji-test.txt",
    "images Apache-2.0, font SIL OFL 1.1 (Google Inc.); names under the Unicode licence",
    "/usr/share/doc/fonts-noto-color-emoji/copyright",
)

OTHER_GROUPS = {"Flags", "Component", "Symbols"}
OTHER_SUBGROUPS = {"family", "person-symbol", "emotion"}
KEPT_OF_OTHERS = {"geometric": {"circle", "square"}, "emotion": {"heart", "collision", "dizzy", "droplets", "hole"}}
SIGNS = re.compile(
    r"o[’']clock|thirty|keycap|button|\bcard index dividers|^person:|^(man|woman|men|women):|hair$|beard$|skin tone|"
    r"^(man|woman|men|women) .|pilcrow|^Japanese (post|“)|input |chart |^ATM|^world map|^map of|fingers crossed|"
    r"^middle finger|^pregnant (man|person)|^mx |^love hotel|^breast|steamy room|(phone|envelope) with arrow$|"
    r"with slash|^muted|^(out|in)box tray|^incoming"
)
SAME_THING = {  # Unicode names that nobody would type
    "hot beverage": "cup of coffee", "automobile": "car", "oncoming automobile": "car front",
    "sport utility vehicle": "suv", "pile of poo": "poop", "horse racing": "racing horse",
    "shallow pan of food": "pan of food", "flexed biceps": "strong arm", "ear of corn": "corn",
    "eggplant": "aubergine", "curry rice": "curry and rice", "locomotive": "steam train", "delivery truck": "truck",
    "articulated lorry": "lorry", "motor scooter": "scooter", "mobile phone": "smartphone", "optical disk": "cd",
    "spiral shell": "sea shell", "twelve o’clock": "clock", "glowing star": "shining star",
    "full moon face": "moon face", "sun with face": "sun face", "cooked rice": "bowl of rice",
    "couch and lamp": "sofa and lamp", "e-mail": "email", "oncoming bus": "bus front", "oncoming taxi": "taxi front",
    "soccer ball": "football", "american football": "rugby ball", "clinking beer mugs": "two beer mugs",
    "red paper lantern": "red lantern", "jack-o-lantern": "halloween pumpkin", "potted plant": "plant in a pot",
    "beverage box": "juice box", "videocassette": "video cassette", "tram car": "tram wagon",
}  # fmt: skip


def caption_of(name: str) -> str:
    name = name.replace("’", "'").replace("“", "").replace("”", "").lower()
    name = SAME_THING.get(name, name)
    return re.sub(r"\s+", " ", name.replace("-", " ")).strip()


def entries():
    """(characters, caption, subgroup) of the emoji that show one nameable thing."""
    group = subgroup = ""
    for line in NAMES.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group:"):
            group = line.split(":", 1)[1].strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.split(":", 1)[1].strip()
        match = re.match(r"([0-9A-F ]+); fully-qualified\s+# \S+ E[\d.]+ (.+)", line)
        if not match:
            continue
        codes = [int(code, 16) for code in match[1].split()]
        name = match[2]
        if (
            any(0x1F3FB <= code <= 0x1F3FF or 0x1F9B0 <= code <= 0x1F9B3 for code in codes)
            or 0x2640 in codes
            or 0x2642 in codes
        ):
            continue
        if group in OTHER_GROUPS or subgroup in OTHER_SUBGROUPS:
            if not any(word in KEPT_OF_OTHERS.get(subgroup, ()) for word in name.split()) or name.count(" ") > 1:
                continue
        if SIGNS.search(name):
            continue
        yield "".join(map(chr, codes)), caption_of(name), subgroup


def characters_of(font: Path) -> set[int]:
    """The code points that a font has a glyph for."""
    from fontTools.ttLib import TTFont  # only the style set needs it

    with TTFont(font) as tables:
        return set(tables.getBestCmap())


def pictures(everything: bool = False):
    for path, package in ((FONT, "fonts-noto-color-emoji"), (NAMES, "unicode-data")):
        if not path.exists():
            raise MissingSource(f"{path} is missing: install the package {package}")
    font = ImageFont.truetype(str(FONT), STRIKE, layout_engine=ImageFont.Layout.RAQM)
    for characters, caption, _ in entries():
        image = Image.new("RGBA", (STRIKE * 3, STRIKE * 2), (0, 0, 0, 0))
        ImageDraw.Draw(image).text((STRIKE // 2, STRIKE // 3), characters, font=font, embedded_color=True)
        name = "-".join(f"{ord(c):x}" for c in characters if ord(c) != 0xFE0F)
        yield Picture(f"emoji-{name}", caption, image, SOURCE.package)
