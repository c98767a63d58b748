# SPDX-License-Identifier: Apache-2.0
"""`sara evaluate`: what it prints and what it refuses. The numbers themselves are judged in tests/parity/test_metrics.py and test_54, test_55."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from fid_inception import random_weights
from PIL import Image
from probe import ROOT
from safetensors.torch import load_file, save_file
from tiny_blip import write_tiny_blip
from tiny_clip import write_tiny_clip


def write_pictures(folder, count, seed, suffix=".png", size=(24, 18)):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for index in range(count):
        Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(folder / f"{index:02}{suffix}")
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    write_tiny_clip(folder)
    return folder


@pytest.fixture(scope="session")
def blip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip") / "tiny-blip"
    write_tiny_blip(folder)
    return folder


@pytest.fixture(scope="session")
def inception(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "inception.safetensors"
    save_file(random_weights(), path)
    return path


@pytest.fixture
def drawn(tmp_path):
    """What `sara generate --grid` leaves: pictures, prompts.jsonl and a sheet that is no picture of its own."""
    folder = write_pictures(tmp_path / "drawn", 3, 1)
    rows = [{"file_name": f"{i:02}.png", "text": f"square number {i}", "seed": i, "scale": 1.0} for i in range(3)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Image.new("RGB", (90, 60)).save(folder / "grid.png")
    return folder


def scores(sara, *arguments):
    done = sara("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_fid_prints_what_makes_it_comparable(sara, inception, drawn, tmp_path):
    reference = write_pictures(tmp_path / "reference", 4, 2, size=(20, 20))
    words = ("fid", "--images", drawn, "--reference", reference, "--weights", inception)
    got, errors = scores(sara, *words)
    assert got["fid"] > 0 and got["dimensions"] == 2048
    assert got["images"] == {"folder": str(drawn), "n": 3, "formats": {"PNG": 3}, "sizes": {"24x18": 3}}  # the sheet is not counted
    assert got["reference"]["n"] == 4 and "299x299" in got["resize"] and "without antialiasing" in got["resize"]
    assert "N = 3 and 4" in errors and "biased" in errors
    text = sara("evaluate", *words).stdout
    assert f"fid: {got['fid']:.4f}" in text and "N = 3 in" in text and "PNG 3; 24x18 3" in text and got["resize"] in text


def test_fid_of_a_set_and_itself_is_zero_and_batches_do_not_matter(sara, inception, clip, tmp_path):
    one, other = write_pictures(tmp_path / "one", 5, 1), write_pictures(tmp_path / "other", 4, 2)
    assert scores(sara, "fid", "--images", one, "--reference", one, "--weights", inception)[0]["fid"] < 1e-3
    by_clip = ("fid", "--features", "clip", "--model", clip, "--images", one, "--reference", other)
    whole, halves = scores(sara, *by_clip)[0], scores(sara, *by_clip, "--batch-size", "2")[0]
    assert whole["fd_clip"] == pytest.approx(halves["fd_clip"], rel=1e-4) and "fid" not in whole
    assert whole["dimensions"] == 24 and "centre crop 28x28" in whole["resize"] and "tiny-clip" in whole["features"]


def test_clip_takes_prompts_from_what_generate_wrote(sara, clip, drawn, tmp_path):
    got, _ = scores(sara, "clip", "--images", drawn, "--model", clip)
    assert -100 <= got["clip_t"] <= 100 and "100 x mean cosine" in got["clip_t_is"] and "clip_i" not in got
    other = tmp_path / "captions.jsonl"
    other.write_text("".join(json.dumps({"file_name": f"{i:02}.png", "text": "a green hill"}) + "\n" for i in range(2)))
    listed, _ = scores(sara, "clip", "--images", drawn, "--model", clip, "--captions", other)
    assert listed["images"]["n"] == 2 and listed["clip_t"] != got["clip_t"]
    for index in range(3):
        (drawn / f"{index:02}.txt").write_text("a green hill")
    (drawn / "prompts.jsonl").unlink()
    (drawn / "grid.png").unlink()
    beside, _ = scores(sara, "clip", "--images", drawn, "--model", clip)
    assert beside["images"]["n"] == 3 and beside["clip_t"] != got["clip_t"]


def test_clip_i_of_a_set_and_itself_counts_all_pairs(sara, clip, tmp_path):
    one = write_pictures(tmp_path / "one", 1, 1)
    three = write_pictures(tmp_path / "three", 3, 1)
    assert scores(sara, "clip", "--images", one, "--reference", one, "--model", clip)[0]["clip_i"] == pytest.approx(1, abs=1e-5)
    got, _ = scores(sara, "clip", "--images", three, "--reference", three, "--model", clip)
    assert got["clip_i"] < 0.999999 and "clip_t" not in got  # pairs of different pictures too; no captions, no CLIP-T


def test_lossy_pictures_are_taken_with_a_warning(sara, clip, tmp_path):
    folder = write_pictures(tmp_path / "mixed", 2, 1)
    write_pictures(folder, 1, 2, suffix=".jpg")
    got, errors = scores(sara, "clip", "--images", folder, "--reference", folder, "--model", clip)
    assert got["images"]["formats"] == {"JPEG": 1, "PNG": 2} and "1 of 3 pictures are not PNG" in errors


GROUP = {"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 20}, {"name": "b", "fid": 3, "clip": 21}, {"name": "c", "fid": 2, "clip": 20.25}]}


def test_vlhi_lists_its_group_and_ranges_from_toml_and_json(sara, tmp_path):
    (tmp_path / "group.json").write_text(json.dumps(GROUP))
    rows = "".join(f'[[methods]]\nname = "{m["name"]}"\nfid = {m["fid"]}\nclip = {m["clip"]}\n' for m in GROUP["methods"])
    (tmp_path / "group.toml").write_text('group = "g"\n' + rows)
    got, _ = scores(sara, "vlhi", tmp_path / "group.toml")
    assert got == scores(sara, "vlhi", tmp_path / "group.json")[0]
    assert [m["vlhi"] for m in got["methods"]] == [1, 1, 0.75]
    assert got["ranges"]["fid"] == {"min": 1, "min_method": "a", "max": 3, "max_method": "b", "better": "low"}
    text = sara("evaluate", "vlhi", tmp_path / "group.json").stdout
    assert "group: g (3 methods)" in text and "clip: min 20.0 (a), max 21.0 (b), better when high" in text and "0.75\t2.0\t20.25\tc" in text


def test_what_is_missing_or_has_no_effect_is_refused(refused, sara, clip, inception, drawn, tmp_path):
    pictures = write_pictures(tmp_path / "plain", 2, 1)
    single = write_pictures(tmp_path / "single", 1, 1)
    refused(2, ["WHAT", "fid, clip, bvqa or vlhi"], "evaluate", "is")
    refused(2, ["--images", "Fix"], "evaluate", "fid")
    refused(2, ["--reference", "Fix"], "evaluate", "fid", "--images", pictures)
    refused(2, ["--weights", "docs/evaluation.md"], "evaluate", "fid", "--images", pictures, "--reference", pictures)
    refused(3, ["no such file", "docs/evaluation.md"], "evaluate", "fid", "--images", pictures, "--reference", pictures, "--weights", "none.safetensors")
    refused(2, ["--model", "no effect on sara evaluate fid"], "evaluate", "fid", "--images", pictures, "--reference", pictures, "--weights", inception, "--model", clip)
    refused(2, ["--captions", "no effect"], "evaluate", "fid", "--images", pictures, "--captions", "c.jsonl")
    refused(2, ["--model", "Fix"], "evaluate", "fid", "--images", pictures, "--reference", pictures, "--features", "clip")
    refused(3, ["two pictures or more"], "evaluate", "fid", "--images", single, "--reference", pictures, "--weights", inception)
    refused(2, ["no captions", "--captions FILE"], "evaluate", "clip", "--images", pictures, "--model", clip)
    refused(2, ["--weights", "no effect"], "evaluate", "clip", "--images", drawn, "--model", clip, "--weights", inception)
    refused(3, ["is not a CLIP model"], "evaluate", "clip", "--images", drawn, "--model", tmp_path)
    refused(3, ["is not a folder"], "evaluate", "clip", "--images", tmp_path / "none", "--model", clip)
    refused(2, ["FILE", "no effect"], "evaluate", "clip", "x.toml", "--images", drawn, "--model", clip)
    refused(2, ["FILE: missing"], "evaluate", "vlhi")
    refused(2, ["--images", "no effect"], "evaluate", "vlhi", "x.toml", "--images", drawn)
    (tmp_path / "one.json").write_text(json.dumps(dict(GROUP, methods=GROUP["methods"][:1])))
    refused(2, ["two or more"], "evaluate", "vlhi", tmp_path / "one.json")


def test_captions_that_do_not_fit_the_pictures_are_refused(refused, clip, tmp_path):
    pictures = write_pictures(tmp_path / "plain", 2, 1)
    (pictures / "00.txt").write_text("only this one")
    refused(3, ["only 1 of 2 pictures have a caption"], "evaluate", "clip", "--images", pictures, "--model", clip)
    (tmp_path / "c.jsonl").write_text('{"file_name": "07.png", "text": "a"}\n')
    refused(3, ["line 1", "07.png is not in"], "evaluate", "clip", "--images", pictures, "--model", clip, "--captions", tmp_path / "c.jsonl")


def test_b_vqa_takes_questions_by_prompt_or_by_picture(sara, blip, drawn, tmp_path):
    asked = [["a red apple"], ["the dog", "two cats"], ["a dog"]]
    by_prompt, by_picture, mixed = (tmp_path / f"{name}.jsonl" for name in ("prompt", "picture", "mixed"))
    prompts, names = [{"text": f"square number {i}"} for i in range(3)], [{"file_name": f"{i:02}.png"} for i in range(3)]
    for path, keys in {by_prompt: prompts, by_picture: names, mixed: [names[0], prompts[1], names[2]]}.items():
        path.write_text("".join(json.dumps(dict(key, questions=own)) + "\n" for key, own in zip(keys, asked)))
    got, errors = scores(sara, "bvqa", "--images", drawn, "--questions", by_prompt, "--model", blip)
    assert 0 < got["b_vqa"] < 1 and got["questions"] == 4 and got["network"] == "BLIP of tiny-blip" and got["images"]["n"] == 3 and "product" in got["b_vqa_is"]
    for path in (by_picture, mixed):
        assert scores(sara, "bvqa", "--images", drawn, "--questions", path, "--model", blip)[0] == got
    text = sara("evaluate", "bvqa", "--images", drawn, "--questions", by_prompt, "--model", blip).stdout
    assert f"b_vqa: {got['b_vqa']:.4f} (mean over pictures" in text and "questions: 4" in text
    fewer = [dict(row, questions=row["questions"][:1]) for row in map(json.loads, by_prompt.read_text().splitlines())]
    by_prompt.write_text("".join(json.dumps(row) + "\n" for row in fewer))
    assert scores(sara, "bvqa", "--images", drawn, "--questions", by_prompt, "--model", blip)[0]["b_vqa"] > got["b_vqa"]  # a product of shares only falls


def test_questions_that_do_not_fit_are_refused(refused, blip, clip, drawn, tmp_path):
    plain = write_pictures(tmp_path / "plain", 2, 1)
    ask = tmp_path / "q.jsonl"

    def refusal(code, phrases, row, images=drawn, model=blip):
        ask.write_text(row + "\n")
        refused(code, phrases, "evaluate", "bvqa", "--images", images, "--questions", ask, "--model", model)

    refusal(3, ["asks nothing about 2 of 3 pictures", "01.png"], '{"text": "square number 0", "questions": ["a dog"]}')
    refusal(3, ["line 1 has no questions", "docs/evaluation.md"], '{"text": "square number 0"}')
    refusal(3, ["line 1 has neither file_name nor text"], '{"questions": ["a dog"]}')
    refusal(3, ["not a list of one text or more"], '{"text": "square number 0", "questions": []}')
    refusal(3, ["not a text, or empty"], '{"text": "square number 0", "questions": [" "]}')
    refusal(3, ["line 2", "once more"], '{"text": "a", "questions": ["a dog"]}\n{"text": "a", "questions": ["a cat"]}')
    every = '{"text": "square number 0", "questions": ["a"]}\n{"text": "square number 1", "questions": ["a"]}\n{"text": "square number 2", "questions": ["a"]}'
    refusal(3, ["is not a BLIP model", "vocab.txt"], every, model=clip)
    refused(3, ["line 1 has no questions"], "evaluate", "bvqa", "--images", drawn, "--model", blip)
    refused(2, ["--questions: missing", "docs/evaluation.md"], "evaluate", "bvqa", "--images", plain, "--model", blip)
    ask.write_text(every)
    refused(2, ["--model", "Fix"], "evaluate", "bvqa", "--images", drawn, "--questions", ask)
    refused(2, ["--reference", "no effect on sara evaluate bvqa"], "evaluate", "bvqa", "--images", drawn, "--questions", ask, "--model", blip, "--reference", plain)
    refused(2, ["--questions", "no effect on sara evaluate clip"], "evaluate", "clip", "--images", drawn, "--model", clip, "--questions", ask)


def test_inspect_knows_the_models_that_evaluate_takes(sara, clip, blip, tmp_path):
    found = json.loads(sara("inspect", blip, "--json").stdout)
    assert found["class"] == "BlipForQuestionAnswering" and "mismatch" not in found
    found = json.loads(sara("inspect", clip, "--json").stdout)
    assert found["class"] == "CLIPModel" and found["weights"] > 10_000 and "mismatch" not in found
    write_tiny_clip(tmp_path / "vision", vision_only=True)
    found = json.loads(sara("inspect", tmp_path / "vision", "--json").stdout)
    assert found["class"] == "CLIPVisionModelWithProjection" and "mismatch" not in found


def test_the_documented_conversion_and_group_are_taken(sara, inception, tmp_path):
    page = (ROOT / "docs" / "evaluation.md").read_text()
    command = next(line.strip() for line in page.splitlines() if line.strip().startswith('python -c "import sys, torch'))
    torch.save({**load_file(inception), "fc.bias": torch.zeros(1008)}, tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=tmp_path, check=True)
    folder = write_pictures(tmp_path / "pictures", 2, 1)
    assert scores(sara, "fid", "--images", folder, "--reference", folder, "--weights", tmp_path / "inception.safetensors")[0]["fid"] < 1e-3
    (tmp_path / "group.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    assert [m["name"] for m in scores(sara, "vlhi", tmp_path / "group.toml")[0]["methods"]] == ["LoRA", "SaRA", "Full-finetune"]
