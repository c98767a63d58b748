# SPDX-License-Identifier: Apache-2.0
"""Rows 54 to 56: scores that can be repeated and compared, and a small run of every family and task."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from fid_inception import Network, random_weights
from noise import noise_picture
from PIL import Image, ImageSequence
from safetensors.torch import load_file, save_file
from table_1 import DATA_SETS, SD15
from tiny_blip import PROCESSOR as BLIP_PROCESSOR
from tiny_blip import vocabulary, write_tiny_blip
from tiny_clip import PROCESSOR, write_tiny_clip
from tiny_model import write_tiny_model
from tiny_motion import write_tiny_animatediff
from tiny_sd3 import write_tiny_sd3
from tiny_xl import write_tiny_xl


# --- Evaluation
def blobs(folder, count, seed, suffix):
    """Pictures that differ in more than noise, with captions."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((80, 64), Image.BICUBIC).save(folder / f"{index}{suffix}")
        rows.append({"file_name": f"{index}{suffix}", "text": f"a colour {random.integers(100)}"})
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def opened(folder):
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    return [Image.open(folder / row["file_name"]).convert("RGB") for row in rows], [row["text"] for row in rows]


def judged_fid(weights, one, other):
    """FID by the roots of covariances themselves, in fp64."""
    network = Network(weights)
    features = []
    for folder in (one, other):
        pixels = [torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255 for picture in opened(folder)[0]]
        features.append(torch.cat([network.features(p) for p in pixels]).double())
    basis = torch.linalg.qr(torch.cat(features).T).Q  # all of both sets lies in its span: 11 coordinates say what 2048 do
    features = [f @ basis for f in features]
    means, covariances = [f.mean(0) for f in features], [f.T.cov() for f in features]
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors @ (values.clamp_min(0).sqrt()[:, None] * vectors.T)
    shared = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    return ((means[0] - means[1]).square().sum() + covariances[0].trace() + covariances[1].trace() - 2 * shared).item()


def judged_clip_t(model, folder):
    from transformers import CLIPImageProcessor, CLIPTokenizer

    pictures, texts = opened(folder)
    processor = CLIPImageProcessor(**{key: value for key, value in PROCESSOR.items() if key != "image_processor_type"})
    pixels = torch.as_tensor(np.asarray(processor(pictures, return_tensors="np")["pixel_values"]))
    ids = CLIPTokenizer.from_pretrained(model.name_or_path)(texts, padding="max_length", truncation=True, max_length=20, return_tensors="pt")
    with torch.no_grad():
        out = model(pixel_values=pixels, **ids)
    return 100 * torch.cosine_similarity(out.image_embeds, out.text_embeds).mean().item()


def evaluated(sara, *words):
    done = sara("evaluate", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_54_fid_and_clip_t_match_independent_implementations_and_say_what_they_saw(sara, tmp_path):
    weights = random_weights()
    save_file(weights, tmp_path / "inception.safetensors")
    clip = write_tiny_clip(tmp_path / "clip")
    clip.config._name_or_path = clip.name_or_path = str(tmp_path / "clip")
    drawn, reference = blobs(tmp_path / "drawn", 6, 1, ".png"), blobs(tmp_path / "reference", 5, 2, ".png")

    fid, warned = evaluated(sara, "fid", "--images", drawn, "--reference", reference, "--weights", tmp_path / "inception.safetensors")
    assert fid["fid"] == pytest.approx(judged_fid(weights, drawn, reference), rel=1e-3)
    assert "N = 6 and 5" in warned and "biased" in warned
    score, warned = evaluated(sara, "clip", "--images", drawn, "--model", tmp_path / "clip")
    assert score["clip_t"] == pytest.approx(judged_clip_t(clip, drawn), rel=1e-3)
    assert "PNG" not in warned  # nothing to warn of
    for scores in (fid, score):
        assert scores["images"]["n"] == 6 and scores["images"]["formats"] == {"PNG": 6} and scores["images"]["sizes"] == {"80x64": 6}
    assert "299x299" in fid["resize"] and "shortest edge to 28 (Pillow bicubic)" in score["resize"]  # and no other resize before these

    _, warned = evaluated(sara, "clip", "--images", blobs(tmp_path / "lossy", 2, 3, ".jpg"), "--model", tmp_path / "clip")
    assert "2 of 2 pictures are not PNG" in warned


QUESTIONS = [["a red apple", "the dog"], ["two cats?"], ["The Blue Apple.", "a photo", "unaffable #cats"]]


def judged_yes(model, picture, question):
    """yes / (yes + no) by transformers' networks, of a question as BLIP's own evaluation hands it over."""
    from transformers import BertTokenizer
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    text = re.sub(r"([.!\"()*#:;~])", "", question.lower()).rstrip(" ")
    ids = BertTokenizer.from_pretrained(model.name_or_path)(text, truncation=True, max_length=35, return_tensors="pt").input_ids
    begin = model.config.text_config.bos_token_id
    ids[:, 0] = begin + 1
    pixels = BlipImageProcessorPil(**{key: value for key, value in BLIP_PROCESSOR.items() if key != "image_processor_type"})(picture, return_tensors="np")["pixel_values"]
    with torch.no_grad():
        seen = model.vision_model(torch.as_tensor(np.asarray(pixels))).last_hidden_state
        states = model.text_encoder(input_ids=ids, encoder_hidden_states=seen).last_hidden_state
        shares = model.text_decoder(input_ids=torch.tensor([[begin]]), encoder_hidden_states=states).logits[0, 0].softmax(0)
    yes, no = (shares[vocabulary().index(word)] for word in ("yes", "no"))
    return (yes / (yes + no)).item()


def test_54_b_vqa_matches_the_published_networks_and_says_what_it_saw(sara, tmp_path):
    model = write_tiny_blip(tmp_path / "blip")
    model.config._name_or_path = model.name_or_path = str(tmp_path / "blip")
    drawn = blobs(tmp_path / "drawn", 3, 1, ".png")
    pictures, captions = opened(drawn)
    by_prompt = tmp_path / "questions.jsonl"
    by_prompt.write_text("".join(json.dumps({"text": text, "questions": asked}) + "\n" for text, asked in zip(captions, QUESTIONS)))
    asked = [[question if question.endswith("?") else question + "?" for question in own] for own in QUESTIONS]
    expected = np.mean([np.prod([judged_yes(model, picture, question) for question in own]) for picture, own in zip(pictures, asked)])
    got, warned = evaluated(sara, "bvqa", "--images", drawn, "--questions", by_prompt, "--model", tmp_path / "blip")
    assert got["b_vqa"] == pytest.approx(expected, rel=1e-4) and 0.001 < expected < 0.999
    assert got["questions"] == 6 and got["images"]["n"] == 3 and "32x32" in got["resize"] and "PNG" not in warned
    rows = [json.loads(line) for line in (drawn / "prompts.jsonl").read_text().splitlines()]
    (drawn / "prompts.jsonl").write_text("".join(json.dumps(dict(row, questions=own)) + "\n" for row, own in zip(rows, QUESTIONS)))
    assert evaluated(sara, "bvqa", "--images", drawn, "--model", tmp_path / "blip", "--batch-size", "2")[0]["b_vqa"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_55_vlhi_states_its_group_and_repeats_table_1(sara, data_set, tmp_path):
    column = {method: rows[DATA_SETS.index(data_set)] for method, rows in SD15.items()}
    methods = [{"name": name, "fid": fid, "clip": clip} for name, (fid, clip, _) in column.items()]
    group = f"SD 1.5, {data_set}"
    (tmp_path / "group.json").write_text(json.dumps({"group": group, "methods": methods}))
    got, _ = evaluated(sara, "vlhi", tmp_path / "group.json")
    assert got["group"] == group and [m["name"] for m in got["methods"]] == list(column)
    fids, clips = [m["fid"] for m in methods], [m["clip"] for m in methods]
    assert (got["ranges"]["fid"]["min"], got["ranges"]["fid"]["max"]) == (min(fids), max(fids))
    assert (got["ranges"]["clip"]["min"], got["ranges"]["clip"]["max"]) == (min(clips), max(clips))
    assert column[got["ranges"]["clip"]["max_method"]][1] == max(clips)
    # Printed FID and CLIP are rounded by 0.005 at most, which moves a normalised score by 0.01 / (max - min) at most, and so is VLHI.
    rounding = 0.005 + 0.01 / (max(fids) - min(fids)) + 0.01 / (max(clips) - min(clips))
    for method in got["methods"]:
        assert method["vlhi"] == pytest.approx(column[method["name"]][2], abs=rounding), method["name"]
    text = sara("evaluate", "vlhi", tmp_path / "group.json").stdout
    assert f"group: {group} (13 methods)" in text and f"fid: min {min(fids)} (" in text and f"max {max(clips)} (" in text
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps({"group": group, "methods": methods[:4]}))
    other = evaluated(sara, "vlhi", fewer)[0]["methods"]
    assert any(abs(a["vlhi"] - b["vlhi"]) > 0.01 for a, b in zip(got["methods"], other))  # it shifts with the methods compared


# --- Scope
FAMILIES = ["sd1", "sd2", "sdxl", "sd3", "animatediff"]
WRITERS = {"sdxl": write_tiny_xl, "sd3": write_tiny_sd3, "animatediff": write_tiny_animatediff}
SD2_UNET = dict(use_linear_projection=True, attention_head_dim=[2, 4])
FRAMES = ["--num-frames", "3"]


def write_family(family, folder):
    if family == "sd1":
        return write_tiny_model(folder / "model")
    if family == "sd2":
        path = write_tiny_model(folder / "model", unet=SD2_UNET)
        scheduler = path / "scheduler" / "scheduler_config.json"
        scheduler.write_text(json.dumps(dict(json.loads(scheduler.read_text()), prediction_type="v_prediction")))
        return path
    WRITERS[family](folder)
    return folder / "model"


def write_clips(folder):
    """Two folders of numbered frames with a caption beside each."""
    for index, count in enumerate([9, 5]):
        (folder / f"clip{index}").mkdir(parents=True)
        for frame in range(count):
            noise_picture((16, 16), 50, 10 * index + frame).save(folder / f"clip{index}" / f"{frame:04}.png")
        (folder / f"clip{index}.txt").write_text(f"clip {index}\n")
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    return request.param, write_family(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def train_family(family, train, tmp_path_factory):
    """train_family("--flag", ...) -> the output folder of a short run on the family's kind of data."""
    name, base = family
    data = {"data": write_clips(tmp_path_factory.mktemp("clips") / "data")} if name == "animatediff" else {}
    frames = FRAMES if name == "animatediff" else []
    return lambda *words: train(*words, *frames, base=base, steps=3, **data)[1]


@pytest.fixture(scope="module")
def trained(train_family):
    return train_family("--budget", "5%", "--lr", "2e-2")


def drawn_by(sara, family, output, *words, base=None):
    """Its picture, or all frames of its clip."""
    name, own = family
    frames = FRAMES if name == "animatediff" else []
    done = sara("generate", "--model", base or own, "--prompt", "a red square", "--steps", "2", "--output", output, *frames, *words)
    assert done.returncode == 0, done.stderr
    picture = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(output / "0000.png"))]
    assert len(picture) == (3 if frames else 1)
    return np.stack(picture)


def test_56_every_family_trains_saves_loads_and_draws(sara, family, trained, tmp_path):
    name, base = family
    adapter = trained / "adapter.safetensors"
    assert json.loads(sara("inspect", base, "--json").stdout)["family"] == name
    saved = json.loads(sara("inspect", adapter, "--json").stdout)
    assert saved["family"] == name and saved["weights"] > 100
    deltas = [value for key, value in load_file(adapter).items() if key.endswith(".delta")]
    assert sum((delta != 0).sum().item() for delta in deltas) > 0.9 * saved["weights"]
    plain, styled, off = (drawn_by(sara, family, tmp_path / folder, *words) for folder, words in
                          {"plain": (), "styled": ("--adapter", adapter), "off": ("--adapter", f"{adapter}:0")}.items())  # fmt: skip
    assert plain.std() > 0 and (styled != plain).any() and (off == plain).all()


def test_56_every_family_scales_and_merges(sara, family, trained, tmp_path):
    _, base = family
    adapter = trained / "adapter.safetensors"
    halves = ("--adapter", f"{adapter}:0.5", "--adapter", f"{adapter}:0.5", "--as", "adapter", "--output", tmp_path / "sum.safetensors")
    for words in (("--model", base, "--adapter", adapter, "--output", tmp_path / "merged"), halves):
        done = sara("merge", *words)
        assert done.returncode == 0, done.stderr
    styled = drawn_by(sara, family, tmp_path / "styled", "--adapter", adapter)
    assert (drawn_by(sara, family, tmp_path / "from_merged", base=tmp_path / "merged") == styled).all()
    summed = drawn_by(sara, family, tmp_path / "from_sum", "--adapter", tmp_path / "sum.safetensors")
    assert np.abs(summed.astype(int) - styled.astype(int)).max() <= 1


def test_56_every_family_trains_by_the_full_method_and_draws(sara, family, train_family, tmp_path):
    _, base = family
    output = train_family("--method", "full", "--lr", "1e-3")
    tuned = shutil.copytree(base, tmp_path / "model")
    weights = load_file(output / "weights.safetensors")
    component = next(iter(weights)).split(".")[0]
    file = tuned / component / "diffusion_pytorch_model.safetensors"
    stored, trained = load_file(file), {name.removeprefix(component + "."): value for name, value in weights.items()}
    assert trained.keys() <= stored.keys()
    save_file({**stored, **trained}, file, metadata={"format": "pt"})
    assert (drawn_by(sara, family, tmp_path / "tuned", base=tuned) != drawn_by(sara, family, tmp_path / "plain")).any()


def test_56_every_family_of_pictures_learns_a_subject_beside_its_class(sara, family, train_family, tmp_path):
    name, base = family
    if name == "animatediff":
        pytest.skip("clips have no class pictures: tests/cli/test_dreambooth.py")
    words = ("--caption", "a photo of sks square", "--prior-preservation", "--class-data", tmp_path / "class", "--class-prompt", "a photo of a square")
    output = train_family("--budget", "5%", "--lr", "2e-2", "--progressive-iter", "0", "--num-class-images", "2", "--sample-steps", "2", *words)
    assert len(list((tmp_path / "class").glob("*.png"))) == 2
    steps = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 3 and all(0 < step["class_loss"] < step["loss"] for step in steps)
    adapter = output / "adapter.safetensors"
    plain, styled = (drawn_by(sara, family, tmp_path / folder, *more) for folder, more in {"plain": (), "styled": ("--adapter", adapter)}.items())
    assert (styled != plain).any()
