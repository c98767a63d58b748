# SPDX-License-Identifier: Apache-2.0
"""Image decoding and resizing against Pillow, bit for bit."""

import io
import json

import numpy
import pytest
import torch
from PIL import Image, ImageOps

from probe import run_probe

SHAPES = ((1, 1), (7, 5), (16, 16), (33, 47), (64, 40))  # width, height


def picture(width, height, channels, seed=0):
    """A smooth picture with noise on it, so that neither compression nor filters have it easy."""
    generator = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    smooth = numpy.stack([128 + 100 * numpy.sin(x / (3 + c) + y / (5 + c)) for c in range(channels)], axis=-1)
    noisy = smooth + generator.normal(0, 25, smooth.shape)
    array = numpy.clip(noisy, 0, 255).astype(numpy.uint8)
    return array[..., 0] if channels == 1 else array


def decode(folder, files, background=(255, 255, 255)):
    """Writes {name: bytes} and gives {name: (report, pixels or None)}."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    out = run_probe("image", config={"paths": [str(folder / name) for name in files], "background": background})
    report = json.loads(bytes(out["report"].tolist()))
    pixels = [out[f"pixels.{i}"].numpy() if f"pixels.{i}" in out else None for i in range(len(files))]
    return dict(zip(files, zip(report, pixels)))


def encoded(image, **options):
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def opened(content):
    return Image.open(io.BytesIO(content))


def composited(image, background):
    rgba = image.convert("RGBA")
    base = Image.new("RGB", image.size, background)
    base.paste(rgba, mask=rgba.getchannel("A"))
    return numpy.asarray(base)


def check_equal(folder, files, expected, background=(255, 255, 255)):
    for name, (report, pixels) in decode(folder, files, background).items():
        assert "error" not in report, f"{name}: {report}"
        assert pixels.shape == expected[name].shape, name
        difference = numpy.abs(pixels.astype(int) - expected[name].astype(int))
        assert difference.max() == 0, f"{name}: {(difference > 0).sum()} samples differ, by up to {difference.max()}"
        assert (report["height"], report["width"]) == pixels.shape[:2]


def test_jpeg_pixels_equal_pillow(tmp_path):
    files = {}
    for width, height in SHAPES:
        for mode, channels in (("RGB", 3), ("L", 1), ("CMYK", 4)):
            for subsampling in (0, 1, 2) if mode == "RGB" else (0,):
                for progressive in (False, True):
                    for quality in (30, 90):
                        image = Image.fromarray(picture(width, height, channels), mode)
                        name = f"{mode}_{width}x{height}_{subsampling}_{progressive}_{quality}.jpg"
                        options = {"subsampling": subsampling} if mode == "RGB" else {}
                        files[name] = encoded(image, format="JPEG", quality=quality, progressive=progressive, **options)
    check_equal(tmp_path, files, {name: numpy.asarray(opened(content).convert("RGB")) for name, content in files.items()})


def test_png_pixels_of_every_8_bit_kind_equal_pillow(tmp_path):
    files = {}
    for width, height in SHAPES:
        for mode, channels in (("RGB", 3), ("L", 1)):
            files[f"{mode}_{width}x{height}.png"] = encoded(Image.fromarray(picture(width, height, channels), mode), format="PNG")
        grey = Image.fromarray(picture(width, height, 1), "L")
        files[f"1_{width}x{height}.png"] = encoded(grey.convert("1"), format="PNG")
        for colours in (2, 4, 16, 200):
            palette = Image.fromarray(picture(width, height, 3), "RGB").quantize(colours)
            files[f"P{colours}_{width}x{height}.png"] = encoded(palette, format="PNG")
    check_equal(tmp_path, files, {name: numpy.asarray(opened(content).convert("RGB")) for name, content in files.items()})


def test_transparency_is_composited_as_pillow_pastes(tmp_path):
    files = {}
    for width, height in SHAPES:
        files[f"rgba_{width}x{height}.png"] = encoded(Image.fromarray(picture(width, height, 4), "RGBA"), format="PNG")
        files[f"la_{width}x{height}.png"] = encoded(Image.fromarray(picture(width, height, 2), "LA"), format="PNG")
        rgb = Image.fromarray(picture(width, height, 3), "RGB")
        files[f"p_{width}x{height}.png"] = encoded(rgb.quantize(16), format="PNG", transparency=bytes(range(0, 256, 16)))
        files[f"key_{width}x{height}.png"] = encoded(rgb, format="PNG", transparency=rgb.getpixel((0, 0)))
        files[f"lossless_{width}x{height}.webp"] = encoded(
            Image.fromarray(picture(width, height, 4), "RGBA"), format="WEBP", lossless=True, exact=True
        )
        files[f"lossy_{width}x{height}.webp"] = encoded(Image.fromarray(picture(width, height, 4), "RGBA"), format="WEBP")
    for background in ((255, 255, 255), (0, 100, 31)):
        expected = {name: composited(opened(content), background) for name, content in files.items()}
        check_equal(tmp_path, files, expected, background)
    assert all(any("transparency" in notice for notice in report["notices"]) for report, _ in decode(tmp_path, files).values())


def test_16_bit_png_is_scaled_and_rounded(tmp_path):
    values = numpy.array([[0, 127, 128, 129, 256, 257, 385, 386, 0x7FFF, 0x8000, 0xFF7E, 0xFF80, 0xFFFF]], dtype=numpy.uint16)
    content = encoded(Image.fromarray(values), format="PNG")
    report, pixels = decode(tmp_path, {"grey16.png": content})["grey16.png"]
    expected = ((values.astype(int) + 128) // 257).astype(numpy.uint8)
    assert (pixels == expected[..., None]).all()
    assert report["notices"] == ["16 bits a sample are scaled to 8"]


def chunk(kind, data):
    import struct
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, interlace, rows, extra=b""):
    import struct
    import zlib

    start = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def interlaced_rows(array):
    """Adam7: seven sub-pictures (x0, y0, dx, dy), each row with filter 0."""
    rows = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = array[y0::dy, x0::dx]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    return rows


def test_interlaced_png_and_16_bit_colour_with_alpha(tmp_path):
    files, expected = {}, {}
    for width, height in SHAPES:
        array = picture(width, height, 3)
        name = f"interlaced_{width}x{height}.png"
        files[name] = png(width, height, 8, 2, 1, interlaced_rows(array))
        expected[name] = array
        deep = numpy.random.default_rng(1).integers(0, 65536, (height, width, 4)).astype(">u2")
        byte = (deep.astype(int) + 128) // 257
        for interlace in (0, 1):
            name = f"deep_{width}x{height}_{interlace}.png"
            rows = interlaced_rows(deep) if interlace else b"".join(b"\0" + row.tobytes() for row in deep)
            files[name] = png(width, height, 16, 6, interlace, rows)
            alpha = byte[..., 3:]
            expected[name] = ((byte[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(numpy.uint8)
    check_equal(tmp_path, files, expected)


def test_webp_pixels_equal_pillow(tmp_path):
    files = {}
    for width, height in SHAPES:
        image = Image.fromarray(picture(width, height, 3), "RGB")
        files[f"lossless_{width}x{height}.webp"] = encoded(image, format="WEBP", lossless=True)
        for quality in (20, 80):
            files[f"lossy_{width}x{height}_{quality}.webp"] = encoded(image, format="WEBP", quality=quality)
    check_equal(tmp_path, files, {name: numpy.asarray(opened(content).convert("RGB")) for name, content in files.items()})


def test_animations_give_their_first_frame_and_a_notice(tmp_path):
    frames = [Image.fromarray(picture(20, 10, 3, seed), "RGB") for seed in range(3)]
    files = {
        "moving.webp": encoded(frames[0], format="WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "moving.png": encoded(frames[0], format="PNG", save_all=True, append_images=frames[1:]),
    }
    check_equal(tmp_path, files, {name: numpy.asarray(frames[0]) for name in files})
    for report, _ in decode(tmp_path, files).values():
        assert "animated; the first frame is taken" in report["notices"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(tmp_path, kind):
    files, expected = {}, {}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        name = f"{orientation}.{kind.lower()}"
        options = {"lossless": True} if kind == "WEBP" else {}
        files[name] = encoded(Image.fromarray(picture(23, 11, 3), "RGB"), format=kind, exif=exif, **options)
        expected[name] = numpy.asarray(ImageOps.exif_transpose(opened(files[name])).convert("RGB"))
    check_equal(tmp_path, files, expected)


def test_cmyk_profiles_and_misleading_names_are_told(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(picture(20, 10, 3), "RGB")
    files = {
        "cmyk.jpg": encoded(Image.fromarray(picture(20, 10, 4), "CMYK"), format="JPEG"),
        "profile.jpg": encoded(image, format="JPEG", icc_profile=profile),
        "profile.png": encoded(image, format="PNG", icc_profile=profile),
        "profile.webp": encoded(image, format="WEBP", icc_profile=profile),
        "really_jpeg.png": encoded(image, format="JPEG"),
        "long_exif.jpg": encoded(image, format="JPEG", icc_profile=profile * 200),  # the size lies behind the first part read
    }
    reports = {name: report for name, (report, _) in decode(tmp_path, files).items()}
    assert reports["cmyk.jpg"]["notices"] == ["CMYK is converted to RGB"]
    for name in ("profile.jpg", "profile.png", "profile.webp", "long_exif.jpg"):
        assert reports[name]["notices"] == ["the ICC colour profile is ignored"], name
    assert reports["really_jpeg.png"]["notices"] == ["the file's name ends unlike its content, which is JPEG"]
    assert reports["really_jpeg.png"]["format"] == "JPEG"


def test_every_truncated_image_is_bad(tmp_path):
    image = Image.fromarray(picture(40, 30, 3), "RGB")
    whole = {
        "base.jpg": encoded(image, format="JPEG"),
        "progressive.jpg": encoded(image, format="JPEG", progressive=True),
        "plain.png": encoded(image, format="PNG"),
        "lossy.webp": encoded(image, format="WEBP"),
        "lossless.webp": encoded(image, format="WEBP", lossless=True),
    }
    files = {}
    for name, content in whole.items():
        for cut in sorted({1, 3, 10, 25, len(content) // 3, len(content) // 2, len(content) - 30, len(content) - 2, len(content) - 1}):
            files[f"{cut}_{name}"] = content[:cut]
    for name, (report, pixels) in decode(tmp_path, files).items():
        assert "error" in report, name
        assert pixels is None


def test_a_jpeg_with_damaged_data_is_bad_where_libjpeg_warns(tmp_path):
    content = encoded(Image.fromarray(picture(64, 64, 3), "RGB"), format="JPEG", quality=90)
    stray = content[:-2] + b"\0\0\0" + content[-2:]  # bytes before the last marker
    report, _ = decode(tmp_path, {"stray.jpg": stray})["stray.jpg"]
    assert "extraneous bytes" in report["error"]


def test_resize_equals_two_pillow_calls(tmp_path):
    sources = [(1, 1), (2, 3), (17, 31), (64, 48), (100, 37), (200, 150), (512, 16)]
    targets = [(1, 1), (3, 2), (16, 16), (17, 48), (64, 64), (99, 38), (37, 150), (256, 5)]
    kinds = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
    images, jobs = {}, []
    for seed, (width, height) in enumerate(sources):
        for kind in ("picture", "noise"):
            name = f"{kind}_{width}x{height}"
            noise = (numpy.random.default_rng(seed).integers(0, 2, (height, width, 3)) * 255).astype(numpy.uint8)
            images[name] = picture(width, height, 3, seed) if kind == "picture" else noise
            jobs += [{"image": name, "width": w, "height": h, "filter": f} for w, h in [*targets, (width, height)] for f in kinds]
    out = run_probe("resize", {name: torch.from_numpy(array) for name, array in images.items()}, {"jobs": jobs})
    for i, job in enumerate(jobs):
        image, resampling = Image.fromarray(images[job["image"]]), kinds[job["filter"]]
        # Two calls fix the order of the passes, which Pillow chooses by the shape since version 13.
        wide = image.resize((job["width"], image.height), resampling)
        expected = numpy.asarray(wide.resize((job["width"], job["height"]), resampling))
        assert numpy.array_equal(out[str(i)].numpy(), expected), job
