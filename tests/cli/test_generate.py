# SPDX-License-Identifier: Apache-2.0
"""`sara generate`: names, records, and which pictures are equal to which."""

import json
import tomllib

import pytest
from PIL import Image


@pytest.fixture
def draw(sara, model, tmp_path):
    counter = iter(range(100))

    def run(*arguments, base=None):
        output = tmp_path / f"out{next(counter)}"
        done = sara("generate", "--model", base or model, "--output", output, "--steps", "3", *arguments)
        assert done.returncode == 0, done.stderr
        return output

    return run


def pixels(path):
    return Image.open(path).convert("RGB").tobytes()


def test_pictures_are_numbered_and_recorded(draw):
    output = draw("--prompt", "a cat", "--prompt", "a dog", "--num-images", "2", "--seed", "7")
    records = [json.loads(line) for line in (output / "prompts.jsonl").read_text().splitlines()]
    assert records == [
        {"file_name": f"{index:04}.png", "text": prompt, "seed": seed, "scale": 1.0}
        for index, (prompt, seed) in enumerate([("a cat", 7), ("a cat", 8), ("a dog", 7), ("a dog", 8)])
    ]
    assert all(Image.open(output / record["file_name"]).size == (16, 16) for record in records)
    assert tomllib.loads((output / "config.toml").read_text())["seed"] == 7


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(draw):
    first, again = draw("--prompt", "a cat"), draw("--prompt", "a cat")
    other = draw("--prompt", "a cat", "--seed", "1")
    assert pixels(first / "0000.png") == pixels(again / "0000.png") != pixels(other / "0000.png")


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "euler", "dpm++2m"])
def test_a_picture_does_not_depend_on_its_batch(draw, sampler):
    many = draw("--prompt", "a cat", "a dog", "a fish", "--num-images", "2", "--sampler", sampler)
    small = draw("--prompt", "a cat", "a dog", "a fish", "--num-images", "2", "--sampler", sampler, "--batch-size", "1")
    alone = draw("--prompt", "a fish", "--seed", "1", "--sampler", sampler)
    for index in range(6):
        assert differ(many / f"{index:04}.png", small / f"{index:04}.png") <= 1
    assert differ(many / "0005.png", alone / "0000.png") <= 1


def differ(one, other):
    return max(abs(a - b) for a, b in zip(pixels(one), pixels(other)))


def test_prompts_come_from_a_file_line_by_line(draw, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat\n\n  a dog  \n")
    output = draw("--prompts", tmp_path / "prompts.txt")
    assert [json.loads(line)["text"] for line in (output / "prompts.jsonl").read_text().splitlines()] == ["a cat", "a dog"]


def test_guidance_and_negative_prompt_matter(draw):
    plain = draw("--prompt", "a cat", "--guidance", "1")
    guided = draw("--prompt", "a cat", "--guidance", "9")
    negative = draw("--prompt", "a cat", "--guidance", "9", "--negative-prompt", "a dog")
    assert len({pixels(folder / "0000.png") for folder in (plain, guided, negative)}) == 3


def test_an_adapter_at_scale_0_draws_the_base(draw, adapter):
    base, none, full = draw("--prompt", "x"), draw("--prompt", "x", "--adapter", f"{adapter}:0"), draw("--prompt", "x", "--adapter", adapter)
    assert pixels(base / "0000.png") == pixels(none / "0000.png") != pixels(full / "0000.png")


def test_a_size_in_pixels_is_obeyed_or_refused(draw, refused, model, tmp_path):
    output = draw("--prompt", "x", "--width", "24", "--height", "32")
    assert Image.open(output / "0000.png").size == (24, 32)
    refused(2, ["width", "multiple of 2", "25"], "generate", "--model", model, "--prompt", "x", "--width", "25", "--output", tmp_path / "no")


def test_eta_belongs_to_ddim(draw, refused, model, tmp_path):
    assert pixels(draw("--prompt", "x", "--eta", "1") / "0000.png") != pixels(draw("--prompt", "x") / "0000.png")
    refused(2, ["eta"], "generate", "--model", model, "--prompt", "x", "--eta", "1", "--sampler", "euler", "--output", tmp_path / "no")


def test_a_grid_shows_every_picture(draw):
    output = draw("--prompt", "a cat", "a dog", "--num-images", "3", "--grid")
    assert Image.open(output / "grid.png").size[0] > 3 * 32
    assert Image.open(output / "grid.png").size[1] > 2 * 32


def test_an_earlier_run_is_replaced_only_when_asked(sara, refused, model, tmp_path):
    output = tmp_path / "out"
    words = ["generate", "--model", model, "--output", output, "--steps", "1"]
    assert sara(*words, "--prompt", "a", "b", "c").returncode == 0
    (output / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    refused(4, ["out", "--overwrite"], *words, "--prompt", "d")
    assert before == {path.name: path.read_bytes() for path in output.iterdir()}
    assert sara(*words, "--prompt", "d", "--overwrite").returncode == 0
    assert sorted(path.name for path in output.iterdir()) == ["0000.png", "config.toml", "notes.txt", "prompts.jsonl"]


@pytest.mark.parametrize("words, phrases", [([], ["--prompt", "missing"]), (["--prompt", "a", "--prompts", "f"], ["--prompts", "both"])])
def test_prompts_must_be_given_once(refused, model, tmp_path, words, phrases):
    refused(2, phrases, "generate", "--model", model, "--output", tmp_path / "out", *words)


def test_a_prompt_file_must_be_text(refused, model, tmp_path):
    (tmp_path / "bytes").write_bytes(b"a cat\nca\xff\n")
    refused(3, ["bytes", "byte 8", "UTF-8"], "generate", "--model", model, "--output", tmp_path / "out", "--prompts", tmp_path / "bytes")


def test_prompts_that_are_cut_are_shown(sara, model, tmp_path):
    done = sara("generate", "--model", model, "--steps", "1", "--output", tmp_path / "o", "--prompt", "much longer than twenty letters")
    assert "1 of 1 prompts" in done.stderr and "much longer" in done.stderr


def test_without_a_model_the_embedded_one_is_named(refused, tmp_path):
    refused(3, ["mini-sd", "--model"], "generate", "--prompt", "x", "--output", tmp_path / "o", env={"SARA_MODELS_DIR": str(tmp_path)})
