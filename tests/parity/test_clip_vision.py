# SPDX-License-Identifier: Apache-2.0
"""CLIP's image encoder and preprocessing against transformers'."""

import json
import pathlib
import sys

import numpy as np
import pytest
import torch
from model_parity import assert_close, assert_gradients_close, randomize
from PIL import Image
from probe import ProbeError, run_probe
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tiny_clip import PROCESSOR, write_tiny_clip  # noqa: E402

SMALL = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=21, patch_size=7, projection_dim=24)
CASES = {
    "L form": SMALL,
    "H form": dict(SMALL, hidden_act="gelu", num_attention_heads=2, hidden_size=64),
    "one patch, another eps": dict(SMALL, image_size=7, layer_norm_eps=1e-3),
}


def published_config(model):
    return json.loads(model.config.to_json_string(use_diff=False))


@pytest.mark.parametrize("case", CASES)
def test_embedding_and_all_gradients_equal_transformers(case, tmp_path):
    model = randomize(CLIPVisionModelWithProjection(CLIPVisionConfig(**CASES[case])), seed=6).train()
    generator = torch.Generator().manual_seed(7)
    side = model.config.image_size
    pixels, cotangent = torch.randn(2, 3, side, side, generator=generator), torch.randn(2, 24, generator=generator)
    save_file({name: value.detach() for name, value in model.named_parameters()}, tmp_path / "weights.safetensors")

    expected = model(pixels).image_embeds
    (expected * cotangent).sum().backward()
    config = {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors"), "gradients": True}
    out = run_probe("clip_vision", {"pixels": pixels, "cotangent": cotangent}, config)
    assert_close(out["output"], expected)
    assert_gradients_close(out, model)


def test_l_14_has_the_names_and_shapes_of_transformers():
    config = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14, projection_dim=768)
    with torch.device("meta"):
        model = CLIPVisionModelWithProjection(config)
    shapes = run_probe("clip_vision_shapes", config={"model": published_config(model)})
    assert {name: tuple(shape.tolist()) for name, shape in shapes.items()} == {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert sum(shape.prod().item() for shape in shapes.values()) == 303_966_208


def test_pixels_of_another_size_are_refused(tmp_path):
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**SMALL))
    save_file({name: value.detach() for name, value in model.named_parameters()}, tmp_path / "weights.safetensors")
    config = {"model": published_config(model), "weights": str(tmp_path / "weights.safetensors")}
    with pytest.raises(ProbeError, match=r"expected \[B, 3, 21, 21\]"):
        run_probe("clip_vision", {"pixels": torch.zeros(1, 3, 28, 28), "cotangent": torch.zeros(1)}, config)


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("resample", [1, 2, 3], ids=["lanczos", "bilinear", "bicubic"])
def test_pixels_equal_those_of_the_published_processor(resample):
    pictures = [noise(28, 28), noise(97, 61), noise(61, 97), noise(40, 39), noise(9, 200), noise(29, 28), noise(512, 512)]
    pictures.append(np.full((50, 33, 3), 255, dtype=np.uint8))
    processor = dict(PROCESSOR, resample=resample)
    out = run_probe("clip_pixels", {f"image.{i}": torch.from_numpy(p) for i, p in enumerate(pictures)}, {"processor": processor})
    judge = CLIPImageProcessor(**{key: value for key, value in processor.items() if key != "image_processor_type"})
    for index, picture in enumerate(pictures):
        expected = torch.as_tensor(np.asarray(judge(Image.fromarray(picture), return_tensors="np")["pixel_values"][0]))
        got = out[f"pixels.{index}"]
        assert got.shape == expected.shape
        assert (got - expected).abs().max() < 2e-6, picture.shape
        step = torch.tensor(PROCESSOR["image_std"]).view(3, 1, 1) * 255
        mean = torch.tensor(PROCESSOR["image_mean"]).view(3, 1, 1) * 255
        assert torch.equal((got * step + mean).round(), (expected * step + mean).round())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_center_crop": False}, "do_center_crop"),
        ({"size": {"height": 28, "width": 28}}, "expected \"shortest_edge\""),
        ({"crop_size": {"height": 28, "width": 20}}, "crop_size"),
        ({"crop_size": 40}, "crop_size"),
        ({"image_std": [1, 0, 1]}, "image_std"),
        ({"image_mean": [1, 0]}, "three numbers"),
        ({"resample": 0}, "resample"),
    ],
)
def test_a_processor_that_does_something_else_is_refused(change, message):
    with pytest.raises(ProbeError, match=message):
        run_probe("clip_pixels", {"image.0": torch.from_numpy(noise(30, 30))}, {"processor": dict(PROCESSOR, **change)})


TEXTS = ["a red square", "", "a much longer caption than twenty tokens can hold, which is cut"]


def judged(model, tokenizer_folder, picture):
    from transformers import CLIPTokenizer

    judge = CLIPImageProcessor(**{key: value for key, value in PROCESSOR.items() if key != "image_processor_type"})
    pixels = torch.as_tensor(np.asarray(judge([Image.fromarray(p) for p in picture], return_tensors="np")["pixel_values"]))
    with torch.no_grad():
        if not hasattr(model, "text_model"):
            return model(pixel_values=pixels).image_embeds, None
        ids = CLIPTokenizer.from_pretrained(tokenizer_folder)(TEXTS, padding="max_length", truncation=True, max_length=20, return_tensors="pt")
        out = model(pixel_values=pixels, **ids)
    return out.image_embeds, out.text_embeds


@pytest.mark.parametrize("vision_only", [False, True], ids=["CLIPModel", "CLIPVisionModelWithProjection"])
def test_a_folder_that_transformers_saved_gives_its_embeddings(vision_only, tmp_path):
    model = write_tiny_clip(tmp_path / "clip", vision_only=vision_only)
    pictures = [noise(50, 40, 1), noise(28, 90, 2)]
    config = {"folder": str(tmp_path / "clip"), **({} if vision_only else {"texts": TEXTS})}
    out = run_probe("clip_folder", {f"image.{i}": torch.from_numpy(p) for i, p in enumerate(pictures)}, config)
    images, texts = judged(model, tmp_path / "clip", pictures)
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)
    assert_close(unit(out["images"]), unit(images))
    if texts is not None:
        assert_close(unit(out["texts"]), unit(texts))


def test_keys_that_older_files_repeat_count(tmp_path):
    folder = tmp_path / "clip"
    write_tiny_clip(folder)
    config = json.loads((folder / "config.json").read_text())
    right = dict(config["vision_config"])
    config["vision_config"]["num_hidden_layers"] = 12
    config["vision_config_dict"] = {"num_hidden_layers": right["num_hidden_layers"]}
    config["text_config_dict"] = None
    (folder / "config.json").write_text(json.dumps(config))
    run_probe("clip_folder", {"image.0": torch.from_numpy(noise(30, 30))}, {"folder": str(folder)})


def test_folders_that_are_no_clip_model_are_refused(tmp_path):
    picture = {"image.0": torch.from_numpy(noise(30, 30))}
    with pytest.raises(ProbeError, match="is not a CLIP model.*Fix"):
        run_probe("clip_folder", picture, {"folder": str(tmp_path)})
    write_tiny_clip(tmp_path / "vision", vision_only=True)
    with pytest.raises(ProbeError, match="has no text encoder"):
        run_probe("clip_folder", picture, {"folder": str(tmp_path / "vision"), "texts": ["a"]})
    config = json.loads((tmp_path / "vision" / "config.json").read_text())
    (tmp_path / "vision" / "config.json").write_text(json.dumps(dict(config, architectures=["CLIPSegModel"])))
    with pytest.raises(ProbeError, match="expected CLIPModel or CLIPVisionModelWithProjection, got CLIPSegModel"):
        run_probe("clip_folder", picture, {"folder": str(tmp_path / "vision")})
