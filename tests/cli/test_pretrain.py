# SPDX-License-Identifier: Apache-2.0
"""Pre-training of a tiny layout in both stages, and what `sara bench` measures."""

import json
import shutil

import pytest
from noise import noise_picture
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

SMALL = ("--batch-size", "2", "--precision", "fp32", "--warmup-steps", "1", "--quiet")


@pytest.fixture(scope="session")
def layout(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout") / "layout"
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


@pytest.fixture(scope="session")
def eight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eight")
    for index in range(8):
        noise_picture((16, 16), 10 + 20 * index, index).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"number {index}\n")
    return folder


def stage(name, layout, output, steps, *more):
    return ["pretrain", name, "--layout", layout, "--output", output, "--steps", steps, *SMALL, *more]


@pytest.fixture(scope="session")
def pretrained(sara, layout, eight, tmp_path_factory):
    output = tmp_path_factory.mktemp("pretrain") / "out"
    for words in (stage("autoencoder", layout, output, 3, "--data", eight), stage("denoiser", layout, output, 3)):
        done = sara(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{output}/model\n"
    return output


def steps_of(state):
    with safe_open(state, "pt") as file:
        return file.get_tensor("steps").item()


def test_both_stages_leave_states_logs_and_a_model(pretrained, sara, tmp_path):
    for name in ("autoencoder", "denoiser"):
        assert steps_of(pretrained / f"{name}.state.safetensors") == 3
        lines = [json.loads(line) for line in (pretrained / f"{name}.metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [3] and lines[0]["loss"] > 0
    cache = load_file(pretrained / "latents.safetensors")
    assert {name: list(tensor.shape) for name, tensor in cache.items()} == {
        "mean": [8, 4, 8, 8],
        "std": [8, 4, 8, 8],
        "ids": [8, 20],
        "empty_ids": [20],
    }
    scaling = json.loads((pretrained / "model" / "vae" / "config.json").read_text())["scaling_factor"]
    variance = cache["mean"].var(correction=0) + cache["std"].square().mean()
    assert abs(scaling * variance.sqrt().item() - 1) < 1e-4
    drawn = sara("generate", "--model", pretrained / "model", "--prompt", "number 3", "--steps", "2", "--output", tmp_path / "drawn")
    assert drawn.returncode == 0, drawn.stderr


@pytest.mark.parametrize("name", ["autoencoder", "denoiser"])
def test_resuming_goes_on_where_the_state_ends_bit_for_bit(sara, pretrained, layout, eight, tmp_path, name):
    data = ("--data", eight) if name == "autoencoder" else ()
    split, whole = tmp_path / "split", tmp_path / "whole"
    shutil.copytree(pretrained, split)
    whole.mkdir()
    shutil.copy(pretrained / "latents.safetensors", whole)
    for words in (stage(name, layout, split, 5, *data, "--resume"), stage(name, layout, whole, 5, *data)):
        done = sara(*words)
        assert done.returncode == 0, done.stderr
    state = f"{name}.state.safetensors"
    assert steps_of(split / state) == steps_of(whole / state) == 5
    lines = (split / f"{name}.metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 5]
    first, second = load_file(split / state), load_file(whole / state)
    assert first.keys() == second.keys() and all(first[key].equal(second[key]) for key in first)


def test_a_state_is_not_overwritten_without_resume(refused, pretrained, layout, eight):
    before = (pretrained / "autoencoder.state.safetensors").read_bytes()
    refused(4, ["autoencoder.state.safetensors", "--resume"], *stage("autoencoder", layout, pretrained, 3, "--data", eight))
    refused(4, ["denoiser.state.safetensors", "--resume"], *stage("denoiser", layout, pretrained, 3))
    assert (pretrained / "autoencoder.state.safetensors").read_bytes() == before


def test_resume_needs_a_state_and_steps_beyond_it(refused, pretrained, layout, eight, tmp_path):
    refused(2, ["no state to resume from"], *stage("autoencoder", layout, tmp_path / "new", 3, "--data", eight, "--resume"))
    refused(2, ["steps", "at least 3, got 2"], *stage("denoiser", layout, pretrained, 2, "--resume"))


def test_a_state_of_another_layout_is_refused(refused, pretrained, layout, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(layout, other)
    config = json.loads((other / "unet" / "config.json").read_text())
    config["block_out_channels"] = [16, 16]
    (other / "unet" / "config.json").write_text(json.dumps(config))
    refused(3, ["denoiser.state.safetensors", "another shape"], *stage("denoiser", other, pretrained, 9, "--resume"))


def test_the_denoiser_needs_the_first_stage(refused, layout, eight, tmp_path):
    refused(2, ["latents.safetensors", "autoencoder stage first"], *stage("denoiser", layout, tmp_path, 3))
    refused(2, ["data", "no effect"], *stage("denoiser", layout, tmp_path, 3, "--data", eight))
    refused(2, ["STAGE", "autoencoder or denoiser"], *stage("painter", layout, tmp_path, 3))


def test_pictures_of_several_sizes_are_refused(refused, layout, eight, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(eight, data)
    Image.new("RGB", (32, 8), "red").save(data / "5.png")  # as many pixels, another shape
    refused(3, ["5.png", "expected 16x16, got 32x8"], *stage("autoencoder", layout, tmp_path / "out", 3, "--data", data))


FIELDS = {
    *("model", "resolution", "batch_size", "precision", "device", "selected", "threads", "forward_s", "backward_s", "weight_gradients_s", "optimizer_s", "rank_s", "rank_s_mean"),
    *("step_s", "peak_rss_gb", "saved_activation_bytes", "torch", "commit", "samples"),
}


def bench(sara, model, *more):
    done = sara("bench", "train-step", "--model", model, "--resolution", "16", "--steps", "3", "--warmup", "1", "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_bench_prints_every_field_with_sane_values(sara, model):
    result = bench(sara, f"{model}/", "--budget", "5%", "--batch-size", "2")
    assert FIELDS <= result.keys()
    assert result["model"] == model.name
    assert (result["resolution"], result["batch_size"], result["precision"], result["threads"]) == (16, 2, "fp32", 1)
    assert 9000 < result["selected"] < 11000  # 5 % of 203,204
    assert 0 < result["rank_s"] < result["optimizer_s"] and 0 < result["rank_s_mean"] < 1
    parts = result["forward_s"] + result["backward_s"] + result["optimizer_s"]
    assert 0.5 * parts < result["step_s"] < 2 * parts < 60
    assert 0.02 < result["peak_rss_gb"] < 4
    assert result["torch"].startswith("2.")
    assert all(result[name] == sorted(seconds)[1] for name, seconds in result["samples"].items()) and len(result["samples"]) == 6  # medians of 3 steps


def test_a_frozen_step_beside_each_tells_what_the_weight_gradients_take(sara, model):
    result = bench(sara, model, "--budget", "5%", "--compare-frozen")
    assert result["frozen_forward_s"] > 0 and result["frozen_backward_s"] > 0
    samples = result["samples"]
    assert samples["beyond_frozen_s"] == [a - b for a, b in zip(samples["backward_s"], samples["frozen_backward_s"])]
    assert 0 < result["weight_gradients_s"] < result["backward_s"]
    assert 9000 < result["selected"] < 11000


def test_a_bench_counts_more_activations_for_more_pictures(sara, model):
    one, four = (bench(sara, model, "--budget", "5%", "--batch-size", count)["saved_activation_bytes"] for count in (1, 4))
    assert 2 * one < four < 6 * one


def test_full_training_trains_every_weight(sara, model):
    assert bench(sara, model, "--method", "full")["selected"] == 203204


def test_a_bench_refuses_what_it_cannot_measure(refused, model):
    words = ("bench", "train-step", "--model", model, "--json")
    refused(2, ["resolution", "multiple of 2, got 17"], *words, "--resolution", "17")
    refused(2, ["WHAT", "train-step"], "bench", "drawing")
    refused(2, ["random:sd15"], "bench", "train-step", "--model", "random:sd99")
