# SPDX-License-Identifier: Apache-2.0
"""BLIP that answers questions, its tokenizer and its pixels, against transformers'."""

import itertools
import json
import pathlib
import random
import sys
import unicodedata

import numpy as np
import pytest
import torch
from model_parity import assert_close
from PIL import Image
from probe import ProbeError, run_probe
from safetensors.torch import load_file, save_file
from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tiny_blip import PROCESSOR, VISION, blip_config, vocabulary, write_tiny_blip, write_vocabulary  # noqa: E402


def published_config(config):
    return json.loads(config.to_json_string(use_diff=False))


def judged(model, pixels, question, answer):
    with torch.no_grad():
        seen = model.vision_model(pixels).last_hidden_state
        states = model.text_encoder(input_ids=question, encoder_hidden_states=seen).last_hidden_state
        return seen, model.text_decoder(input_ids=answer, encoder_hidden_states=states).logits


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip") / "tiny"
    return write_tiny_blip(folder), folder


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(4)
    words = len(vocabulary())
    return dict(pixels=torch.randn(2, 3, 32, 32, generator=generator), question=torch.randint(0, words + 2, (2, 9), generator=generator),
                answer=torch.randint(0, words + 2, (2, 3), generator=generator))  # fmt: skip


def test_what_is_seen_and_answered_equals_transformers(blip, inputs):
    model, folder = blip
    out = run_probe("blip", inputs, {"model": published_config(model.config), "folder": str(folder)})
    seen, logits = judged(model, **inputs)
    assert_close(out["seen"], seen)
    assert_close(out["logits"], logits)
    other = judged(model, inputs["pixels"].flip(0), inputs["question"], inputs["answer"])[1]
    assert (other - logits).abs().max() > 1e-2 * logits.abs().max()  # the answer depends on the picture


def test_copies_of_the_tied_weights_in_older_files_are_passed_over(blip, inputs, tmp_path):
    model, folder = blip
    weights = load_file(folder / "model.safetensors")
    head, words = "text_decoder.cls.predictions", "text_decoder.bert.embeddings.word_embeddings.weight"
    extra = {f"{head}.decoder.weight": weights[words].clone(), f"{head}.decoder.bias": weights[f"{head}.bias"].clone(),
             "text_encoder.embeddings.position_ids": torch.arange(40)[None]}  # fmt: skip
    both = {**weights, **extra}
    lone = {name: value for name, value in both.items() if name not in (words, f"{head}.bias")}
    for number, tensors in enumerate((both, lone)):
        (tmp_path / str(number)).mkdir()
        save_file(tensors, tmp_path / str(number) / "model.safetensors")
        out = run_probe("blip", inputs, {"model": published_config(model.config), "folder": str(tmp_path / str(number))})
        assert_close(out["logits"], judged(model, **inputs)[1])


def test_the_published_base_model_has_the_names_and_shapes_of_transformers():
    config = BlipConfig(text_config=dict(num_attention_heads=12))
    with torch.device("meta"):
        model = BlipForQuestionAnswering(config)
    shapes = run_probe("blip_shapes", config={"model": published_config(config)})
    expected = {name: tuple(p.shape) for name, p in model.named_parameters() if ".cls.predictions.decoder." not in name}
    assert {name: tuple(shape.tolist()) for name, shape in shapes.items()} == expected
    assert sum(shape.prod().item() for shape in shapes.values()) > 350_000_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(vision_config=dict(VISION, hidden_size=48)), "hidden_size"),
        (dict(vision_config=dict(VISION, hidden_act="relu")), "hidden_act"),
        (dict(vision_config=dict(VISION, image_size=30)), "patch_size"),
        (dict(text_config=dict(num_attention_heads=5)), "num_attention_heads"),
        (dict(text_config=dict(is_decoder=False)), "is_decoder"),
        (dict(text_config=dict(bos_token_id=10_000)), "bos_token_id"),
    ],
)
def test_a_config_that_is_not_supported_is_refused(change, message):
    config = published_config(blip_config())
    config.update(vision_config=change.get("vision_config", config["vision_config"]), text_config=dict(config["text_config"], **change.get("text_config", {})))
    with pytest.raises(ProbeError, match=message):
        run_probe("blip_shapes", config={"model": config})


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# One side longer and the other shorter is left out: there Pillow 13 takes the columns first, earlier ones and we the rows.
@pytest.mark.parametrize("resample", [2, 3], ids=["bilinear", "bicubic"])
def test_pixels_equal_those_of_the_published_processor(resample):
    pictures = [noise(32, 32), noise(97, 61), noise(16, 20), np.full((50, 33, 3), 255, dtype=np.uint8)]
    processor = dict(PROCESSOR, resample=resample)
    out = run_probe("blip_pixels", {f"image.{i}": torch.from_numpy(p) for i, p in enumerate(pictures)}, {"processor": processor})
    judge = BlipImageProcessorPil(**{key: value for key, value in processor.items() if key != "image_processor_type"})
    for index, picture in enumerate(pictures):
        expected = torch.as_tensor(np.asarray(judge(Image.fromarray(picture), return_tensors="np")["pixel_values"][0]))
        assert out[f"pixels.{index}"].shape == expected.shape == (3, 32, 32)
        assert (out[f"pixels.{index}"] - expected).abs().max() < 2e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [({"do_resize": False}, "do_resize"), ({"size": {"height": 32, "width": 24}}, "expected a square"), ({"resample": 0}, "resample"), ({"do_normalize": False}, "do_normalize")],
)
def test_a_processor_that_does_something_else_is_refused(change, message):
    with pytest.raises(ProbeError, match=message):
        run_probe("blip_pixels", {"image.0": torch.from_numpy(noise(30, 30))}, {"processor": dict(PROCESSOR, **change)})


# --- Tokenizer
@pytest.fixture(scope="module")
def words_folder(tmp_path_factory):
    return write_vocabulary(tmp_path_factory.mktemp("bert") / "vocabulary")


def ours(folder, texts, max_length):
    encoded = [text.encode("utf-8") for text in texts]
    ends = torch.tensor(list(itertools.accumulate(map(len, encoded))), dtype=torch.int64)
    joined = torch.frombuffer(bytearray(b"".join(encoded) + b"\0"), dtype=torch.uint8)
    return run_probe("tokenizer", {"text": joined, "ends": ends}, {"folder": str(folder), "max_length": max_length, "bert": True})


TEXTS = [
    "", " ", "a red apple?", "A RED Apple ?", "unaffable", "unbelievable", "apples", "caf\u00e9 na\u00efve", "cafe\u0301", "Stra\u00dfe STRASSE", "\u0130stanbul",
    "two-cats, three's", "a!b!c", "x" * 100, "x" * 101, "\u4e2d\u6587a\u4e2d", "\u03b1\u03b2 \u0391\u0392", "[SEP]", "a [MASK] dog[CLS]", "[sep]", "tab\tnew\nline\r\n",
    "a\0b", "a\u00a0b\u2003c\u3000d", "soft\u00adhyphen", "\ufffd", "zero\u200bwidth \u200e", "\u2026 \u2014 \u00ab\u00bb \u00a7 $ + < = > ^ ` | ~ \u20ac", "2026 1234",
    "\U0001f44d\U0001f3fd ok", "\ud55c\uad6d\uc5b4", "dog " * 60,
]  # fmt: skip


def random_texts(count):
    draw = random.Random(12)
    category = unicodedata.ucd_3_2_0.category  # newer characters hang on the Unicode version of the libraries on either side
    assigned = [c for c in range(0x20000) if category(chr(c)) not in ("Cn", "Cs", "Co")]
    parts = [*vocabulary()[6:40], " ", " ", " ", "red apple", "un", "able", "ing", "\u0301", "\u4e2d", "?", "-", "[SEP]"]
    return ["".join(chr(draw.choice(assigned)) if draw.random() < 0.3 else draw.choice(parts) for _ in range(draw.choice([1, 3, 8, 30]))) for _ in range(count)]


@pytest.mark.parametrize("max_length", [3, 12, 35])
def test_texts_have_transformers_ids(words_folder, max_length):
    texts = TEXTS + random_texts(2000)
    judge = BertTokenizer.from_pretrained(str(words_folder))
    expected = torch.tensor(judge(texts, padding="max_length", truncation=True, max_length=max_length)["input_ids"])
    out = ours(words_folder, texts, max_length)
    different = [i for i in range(len(texts)) if not torch.equal(out["ids"][i], expected[i])]
    shown = "\n".join(f"{texts[i]!r}\n  {out['ids'][i].tolist()}\n  {expected[i].tolist()}" for i in different[:5])
    assert not different, f"{len(different)} of {len(texts)} differ:\n{shown}"
    whole = [len(ids) for ids in judge(texts)["input_ids"]]
    assert out["lengths"].tolist() == whole and out["truncated"].tolist() == [length > max_length for length in whole]
    assert len({tuple(row) for row in expected.tolist()}) > (30 if max_length == 3 else 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "vocab.txt").write_text("a\nb\n"), r"no \[UNK\]"),
        (lambda folder: (folder / "vocab.txt").write_text("[UNK]\na\na\n"), "line 3.*already on line 2"),
        (lambda folder: (folder / "vocab.txt").write_text("[UNK]\n"), r"no \"\[CLS\]\""),
        (lambda folder: (folder / "vocab.txt").write_bytes(b"[UNK]\n\xff\n"), "not UTF-8"),
        (lambda folder: (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}'), "do_lower_case is false"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(change, message, tmp_path):
    change(write_vocabulary(tmp_path / "x"))
    with pytest.raises(ProbeError, match=message):
        ours(tmp_path / "x", ["a"], 8)
