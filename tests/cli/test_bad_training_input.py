# SPDX-License-Identifier: Apache-2.0
"""Bad images, captions, thresholds and outputs of `sara train`: refused before the first step."""

import os
import shutil
import subprocess

import pytest
from PIL import Image
from probe import BUILD


@pytest.fixture
def train(refused, model, tmp_path):
    def check(code, phrases, data, *more, output=None):
        output = output or tmp_path / "run"
        refused(code, phrases, "train", "--model", model, "--data", data, "--output", output, "--budget", "5%", "--steps", "2", *more)
        assert not (output / "adapter.safetensors").exists()

    return check


def trains(sara, model, data, output, *more):
    done = sara("train", "--model", model, "--data", data, "--output", output, "--budget", "5%", "--steps", "1", "--batch-size", "1", *more)
    assert done.returncode == 0, done.stderr
    assert (output / "adapter.safetensors").exists()
    return done


def test_a_truncated_image_stops_and_can_be_skipped(train, sara, model, own_pictures, tmp_path):
    data = (own_pictures / "1.png").read_bytes()
    (own_pictures / "1.png").write_bytes(data[: len(data) // 2])
    train(3, ["1.png", "--skip-bad-images"], own_pictures)
    trains(sara, model, own_pictures, tmp_path / "ok", "--skip-bad-images")
    assert "1.png" in (tmp_path / "ok" / "skipped.txt").read_text()


def test_all_bad_images_are_told_together(train, own_pictures):
    for index in (0, 1, 2):
        (own_pictures / f"{index}.png").write_bytes(b"not a picture at all")
    train(3, ["0.png", "1.png", "2.png", "3"], own_pictures)


def test_an_empty_image_file_is_bad(train, own_pictures):
    (own_pictures / "2.png").write_bytes(b"")
    train(3, ["2.png"], own_pictures)


def test_an_image_of_one_pixel_is_bad(train, own_pictures):
    Image.new("RGB", (1, 1)).save(own_pictures / "2.png")
    train(3, ["2.png", "1"], own_pictures)


def test_an_image_of_too_many_pixels_is_bad(train, own_pictures):
    Image.new("1", (10000, 9000)).save(own_pictures / "2.png")
    train(3, ["2.png"], own_pictures)


@pytest.mark.parametrize("kind", ["cmyk", "sixteen_bits", "animated", "misnamed"])
def test_unusual_images_are_used_with_a_notice(sara, model, own_pictures, tmp_path, kind):
    path = own_pictures / "2.png"
    path.unlink()
    if kind == "cmyk":
        Image.new("CMYK", (16, 16), (10, 20, 30, 40)).save(own_pictures / "2.jpg")
    elif kind == "sixteen_bits":
        Image.new("I;16", (16, 16), 4000).save(path)
    elif kind == "animated":
        frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
        frames[0].save(own_pictures / "2.webp", save_all=True, append_images=frames[1:])
    else:
        Image.new("RGB", (16, 16), "blue").save(path, format="JPEG")
    done = trains(sara, model, own_pictures, tmp_path / "ok")
    assert "1 image" in done.stderr, done.stderr


def test_a_missing_caption_follows_the_policy(train, sara, model, own_pictures, tmp_path):
    (own_pictures / "3.txt").unlink()
    train(3, ["3.png", "caption", "--missing-caption"], own_pictures)
    trains(sara, model, own_pictures, tmp_path / "ok", "--missing-caption", "skip")


def test_an_empty_caption_follows_the_policy(train, sara, model, own_pictures, tmp_path):
    (own_pictures / "3.txt").write_text("  \n")
    train(3, ["3.", "caption"], own_pictures)
    trains(sara, model, own_pictures, tmp_path / "ok", "--missing-caption", "empty")


def test_a_caption_that_is_not_utf8_is_refused(train, own_pictures):
    (own_pictures / "3.txt").write_bytes(b"caf\xe9\n")
    train(3, ["3.txt", "UTF-8", "byte 3"], own_pictures)


def test_long_captions_are_counted_and_shown(sara, model, own_pictures, tmp_path):
    (own_pictures / "3.txt").write_text("a very very very very very long caption\n")
    done = trains(sara, model, own_pictures, tmp_path / "ok")
    assert "1 caption(s)" in done.stderr and "very" in done.stderr, done.stderr


def test_a_folder_without_images_says_what_it_looked_for(train, tmp_path):
    (tmp_path / "none").mkdir()
    train(3, ["0 images found", ".png", ".jpg", ".webp"], tmp_path / "none")


def test_a_threshold_that_selects_nothing_or_most_is_refused(refused, model, pictures, tmp_path):
    words = ["train", "--model", model, "--data", pictures, "--output", tmp_path / "run", "--steps", "1", "--threshold"]
    refused(2, ["threshold", "force", "about 5 %", "unet.conv_in.weight  0 of 576"], *words, "1e-30", "--include", "conv_in.weight")
    refused(2, ["threshold", "force", "about 5 %", "(100 %)"], *words, "0.3", "--lr", "1e-3")


def test_a_graph_needs_a_cuda_device_and_a_gradient_that_stays(train, pictures):
    train(2, ["cuda_graph: the device cpu records no graphs", "leave it out"], pictures, "--device", "cpu", "--cuda-graph")
    train(2, ["cuda_graph: not with method full", "leave it out"], pictures, "--method", "full", "--cuda-graph")


def test_a_non_empty_output_needs_overwrite(train, sara, model, pictures, tmp_path):
    output = tmp_path / "run"
    output.mkdir()
    (output / "mine.txt").write_text("keep")
    train(4, ["run", "--overwrite"], pictures, output=output)
    trains(sara, model, pictures, output, "--overwrite")
    assert (output / "mine.txt").read_text() == "keep"


def test_an_output_that_cannot_be_made_is_refused(train, pictures, tmp_path):
    (tmp_path / "file").write_text("")
    train(4, ["file"], pictures, output=tmp_path / "file" / "run")


def test_an_output_held_by_another_run_names_its_process(train, pictures, tmp_path):
    import fcntl

    output = tmp_path / "run"
    output.mkdir()
    with open(output / "run.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4242")
        lock.flush()
        train(4, ["another run", "4242"], pictures, output=output)


def test_a_full_disk_is_seen_before_the_first_step(model, pictures, tmp_path):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("needs unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=4m tmpfs "{disk}" && exec "$@"'
    command = [BUILD / "sara", "train", "--model", model, "--data", pictures, "--output", disk / "run", "--budget", "5%", "--steps", "1"]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", *command], capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
    assert done.returncode == 4, done.stderr
    assert "needed" in done.stderr and "free" in done.stderr
    assert done.stdout == ""
