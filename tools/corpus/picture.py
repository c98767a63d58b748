# SPDX-License-Identifier: Apache-2.0
"""One named picture, and how it becomes a training image.

A picture is cropped to its content, centred on a square with a margin on each side, scaled with Lanczos and laid on a
plain ground.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass
class Picture:
    name: str  # unique within its source; becomes the file name
    caption: str
    image: Image.Image  # RGBA
    source: str


@dataclass
class Source:
    package: str  # Debian package
    what: str
    license: str
    where: str  # the file that states the licence


class MissingSource(Exception):
    """A package that the source reads is not installed."""


def content_box(image: Image.Image, opaque: int = 12):
    """The box of pixels whose alpha is above `opaque`, or None for an empty image."""
    return image.getchannel("A").point(lambda a: 255 if a > opaque else 0).getbbox()


def transparent_ground(image: Image.Image, tolerance: int = 10) -> Image.Image:
    """RGBA; a fully opaque image loses the white that is connected to its corners."""
    image = image.convert("RGBA")
    pixels = np.asarray(image)
    if pixels[..., 3].min() < 250:
        return image
    near_white = (pixels[..., :3] >= 255 - tolerance).all(axis=2)
    ground = np.zeros_like(near_white)
    ground[0], ground[-1], ground[:, 0], ground[:, -1] = (
        near_white[0],
        near_white[-1],
        near_white[:, 0],
        near_white[:, -1],
    )
    while True:  # grow from the border, a whole row sweep per direction at a time
        grown = ground.copy()
        for _ in range(16):
            grown[1:] |= grown[:-1]
            grown[:-1] |= grown[1:]
            grown[:, 1:] |= grown[:, :-1]
            grown[:, :-1] |= grown[:, 1:]
            grown &= near_white
        if (grown == ground).all():
            break
        ground = grown
    out = pixels.copy()
    out[..., 3] = np.where(ground, 0, 255)
    return Image.fromarray(out)


def framed(image: Image.Image, size: int, margin: float = 0.06, ground=(255, 255, 255)) -> Image.Image | None:
    """`size` x `size` RGB with the content centred; None when the picture is empty."""
    box = content_box(image)
    if box is None:
        return None
    image = image.crop(box)
    side = max(image.size) / (1 - 2 * margin)
    scale = size / side
    width, height = (max(1, round(d * scale)) for d in image.size)
    premultiplied = image.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    canvas = Image.new("RGB", (size, size), ground)
    scaled = premultiplied.convert("RGBA")
    canvas.paste(scaled.convert("RGB"), ((size - width) // 2, (size - height) // 2), scaled.getchannel("A"))
    return canvas


def colourfulness(image: Image.Image) -> float:
    """Mean of max(R,G,B) - min(R,G,B) over the pixels that differ from white, 0..255."""
    pixels = np.asarray(image, dtype=np.int16)
    drawn = pixels.min(axis=2) < 240
    if not drawn.any():
        return 0.0
    return float((pixels.max(axis=2) - pixels.min(axis=2))[drawn].mean())


def coverage(image: Image.Image) -> float:
    """Share of the pixels that differ from white."""
    return float((np.asarray(image).min(axis=2) < 240).mean())


def fingerprint(image: Image.Image, side: int = 12) -> np.ndarray:
    """A small RGB version of the image as one vector in 0..1; near pictures have a near fingerprint."""
    small = image.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel() / 255
