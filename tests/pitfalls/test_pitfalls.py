# SPDX-License-Identifier: Apache-2.0
"""Behaviours that an implementation of SaRA is known to get wrong, at the program and its files.

Rows 4-7, 9-11, 14-20, 23-27, 30, 31 and 51 are in pitfalls_test.cpp, on the optimizer itself; 13, 34, 48 and 49 in tests/python too, under
their numbers; 37 is in test_flags.py, 42-52 in test_saving.py, 54-56 in test_scope.py. 32 is in test_several_processes.py.
"""

import json
import math
import re
import shlex
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from pitfall_runs import UNET, adapter_tensors, log, metadata, network, probe_train, same
from probe import ROOT, ProbeError, run_probe
from safetensors.torch import load_file, save_file


# --- Selection
def test_01_a_threshold_that_selects_nothing_or_most_and_a_rate_of_nothing_are_refused(refused, train, model, pictures, tmp_path):
    words = ["train", "--model", model, "--data", pictures, "--output", tmp_path / "run", "--steps", "1"]
    refused(2, ["threshold", "force"], *words, "--threshold", "100", "--lr", "1e-3")
    refused(2, ["threshold", "force"], *words, "--threshold", "1e-30", "--lr", "1e-3", "--include", "conv_in.weight")
    refused(2, ["lr"], *words, "--threshold", "0.1", "--force")  # 1e-3 exp(-35) = 6e-19
    train("--threshold", "0.1", "--lr", "1e-3", "--force", steps=1)


def test_02_the_mask_is_every_weight_strictly_below_the_threshold(train, sara, own_model):
    base = load_file(own_model / UNET)
    name = "conv_in.bias"
    base[name][:4] = torch.tensor([0.0005, -0.0005, 0.00049, -0.00049])  # strictly below means the last two
    save_file(base, own_model / UNET, metadata={"format": "pt"})
    threshold = float(base[name][0])  # what fp32 stores
    _, output = train("--threshold", repr(threshold), "--lr", "1e-3", base=own_model, steps=1)
    found = {key: indices for key, (indices, _) in adapter_tensors(output / "adapter.safetensors").items()}
    expected = {f"unet.{key}": (w.double().abs() < threshold).flatten().nonzero().flatten() for key, w in base.items()}
    assert {key for key, indices in expected.items() if len(indices)} == set(found)
    assert all(torch.equal(found[key], expected[key]) for key in found)
    assert found[f"unet.{name}"].tolist()[:2] == [2, 3]
    kinds = {w.dim() for key, w in base.items() if f"unet.{key}" in found}
    assert {1, 2, 4} <= kinds and not any("position" in key for key in found)
    listed = json.loads(sara("inspect", output / "adapter.safetensors", "--tensors", "--json").stdout)["listed"]
    assert listed == {key: len(indices) for key, indices in found.items()}


def test_03_a_mask_belongs_to_the_stored_numbers_of_its_base(tmp_path):
    base, path = network(), tmp_path / "adapter.safetensors"
    probe_train(base, 5, path)
    copy = {name: weight.bfloat16() for name, weight in base.items()}
    with pytest.raises(ProbeError, match="another base"):
        run_probe("adapter", copy, {"adapters": [[str(path), 1.0]], "family": "test"})
    out = run_probe("adapter", copy, {"adapters": [[str(path), 1.0]], "family": "test", "force": True})
    for name, (indices, delta) in adapter_tensors(path).items():
        expected = copy[name].double().flatten()
        expected[indices] += delta.double()
        assert torch.equal(out[name].flatten(), expected.bfloat16()), name


# --- Start
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_06_before_the_first_step_the_model_is_the_base_and_an_adapter_holds_only_zeros(dtype, tmp_path):
    base, path = network(dtype), tmp_path / "adapter.safetensors"
    out = probe_train(base, 0, path)
    assert all(torch.equal(out[f"w.{name}"], weight) for name, weight in base.items())
    assert len(adapter_tensors(path)) >= 4 and all((delta == 0).all() for _, delta in adapter_tensors(path).values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_08_after_a_thousand_steps_unmasked_weights_are_the_base_and_base_plus_delta_the_rest(dtype, tmp_path):
    base, path = network(dtype), tmp_path / "adapter.safetensors"
    out = probe_train(base, 1000, path)
    found = adapter_tensors(path)
    for name, weight in base.items():
        trained, flat = out[f"w.{name}"].flatten(), weight.double().flatten().clone()
        indices, delta = found.get(name, (torch.zeros(0, dtype=torch.long), torch.zeros(0)))
        frozen = torch.ones(flat.numel(), dtype=torch.bool).index_fill_(0, indices, False)
        assert torch.equal(trained[frozen], weight.flatten()[frozen]), name
        flat[indices] += delta.double()
        if dtype is torch.float32:
            larger = torch.maximum(trained.double().abs(), weight.double().flatten().abs())
            assert ((flat - trained.double()).abs() <= 2 * 2.0**-23 * larger).all(), name
    if dtype is torch.bfloat16:
        applied = run_probe("adapter", base, {"adapters": [[str(path), 1.0]], "family": "test"})
        for name, (indices, delta) in found.items():
            got, trained = (tensor[name_].flatten()[indices].double() for tensor, name_ in ((applied, name), (out, f"w.{name}")))
            # A weight that ends very near to 0 may lie between two sums of its base and an fp32 delta; all others are exact.
            step = 2.0 ** (torch.floor(torch.log2(delta.double().abs().clamp_min(1e-30))) - 23)
            reachable = trained.abs() * 2.0**-8 >= step
            assert torch.equal(got[reachable], trained[reachable]) and reachable.double().mean() > 0.5, name
            assert ((got - trained).abs() <= step).all(), name


# --- Optimizer
def test_12_a_rate_that_is_given_is_used_and_else_the_formula(train):
    _, given = train("--threshold", "1e-3", "--learning_rate", "3e-4", "--lr-scheduler", "constant", steps=2)
    _, formula = train("--threshold", "1e-3", "--lr-scheduler", "constant", steps=2)
    assert [line["lr"] for line in log(given)] == [3e-4] * 2 and metadata(given / "adapter.safetensors")["lr"] == "0.0003"
    assert [line["lr"] for line in log(formula)] == pytest.approx([1e-3 * math.exp(-0.35)] * 2)
    assert not same(given, formula)


# --- Rank loss
def test_16_lambda_acts_in_a_run(train):
    none, much = (train("--budget", "5%", "--lr", "1e-3", "--lambda-rank", value)[1] for value in ("0", "100"))
    assert not same(none, much)
    assert all(line["rank_loss"] == 0 for line in log(none)) and all(line["rank_loss"] > 0 for line in log(much))


def test_20_a_scope_without_matrices_trains_with_one_notice(train):
    done, output = train("--include", "conv_in", "--budget", "20%", "--lr", "1e-3", "--lambda-rank", "1")
    assert done.stderr.count("lambda_rank") == 1 and [line["rank_loss"] for line in log(output)] == [0] * 4
    assert any((delta != 0).any() for _, delta in adapter_tensors(output / "adapter.safetensors").values())


def test_21_the_logged_term_is_that_of_the_weights_not_of_their_change(train, model, sara):
    _, output = train("--threshold", "2e-2", "--lr", "1e-3", "--lambda-rank", "0.5", "--rank-mode", "all", steps=1)
    norms = [torch.linalg.svdvals((w * (w.abs() < 2e-2)).double()).sum() for w in load_file(model / UNET).values() if w.dim() == 2]
    assert log(output)[0]["rank_loss"] == pytest.approx(0.5 * float(sum(norms)) / len(norms), rel=2e-3)
    assert re.search(r"--lambda-rank.*\n?.*nuclear-norm loss on the trained\s+weights", sara("train", "--help").stdout)


def test_22_the_default_lambda_is_that_of_the_paper_everywhere(train):
    _, output = train("--budget", "5%", "--lr", "1e-3")
    assert tomllib.loads((output / "config.toml").read_text())["lambda_rank"] == 5e-3
    assert metadata(output / "adapter.safetensors")["lambda_rank"] == "0.005"
    assert any(line["rank_loss"] > 0 for line in log(output))


# --- Switch
def test_27_a_set_that_becomes_empty_ends_training_with_a_notice_and_a_result(train):
    done, output = train("--budget", "5%", "--lr", "0.5", "--progressive-iter", "1", "--max-grad-norm", "0", "--weight-decay", "0", "--eps", "1e-30")
    lines = log(output)
    if lines[0]["active"]:  # weights whose gradient is exactly 0 stay: they alone go on
        assert len(lines) == 4 and lines[-1]["active"] < 0.01 * json.loads((output / "summary.json").read_text())["selected"]
        pytest.fail("the case no longer empties the set")
    assert len(lines) == 1 and "training ends here" in done.stderr
    assert metadata(output / "adapter.safetensors")["steps"] == "1"


def test_28_half_never_and_too_late_are_legal_and_a_negative_step_is_not(train, refused, model, pictures, tmp_path):
    flags = {"half": [], "never": ["--progressive-iter", "0"], "late": ["--progressive-iter", "9"], "first": ["--progressive-iter", "1"]}
    at = {name: [line["step"] for line in log(train("--budget", "5%", "--lr", "1e-3", *more)[1]) if line["reselected"]] for name, more in flags.items()}
    assert at == {"half": [2], "never": [], "late": [], "first": [1]}
    words = ["train", "--model", model, "--data", pictures, "--output", tmp_path / "run", "--steps", "1", "--lr", "1e-3"]
    refused(2, ["progressive-iter", ">= 0"], *words, "--progressive-iter", "-1")


def test_29_the_rate_runs_on_across_a_switch(train):
    rates = [[line["lr"] for line in log(train("--budget", "5%", "--lr", "1e-3", "--progressive-iter", at)[1])] for at in ("0", "2")]
    assert rates[0] == rates[1] and len(set(rates[0])) == 4


# --- Loop
def test_33_the_average_is_that_of_the_values_of_every_step_and_is_what_the_file_holds(tmp_path):
    base, path, decay = network(), tmp_path / "adapter.safetensors", 0.8
    out = probe_train(base, 40, path, history=True, options={"ema_decay": decay, "progressive_iter": 20})
    assert out["active"][0] > out["active"][-1] > 0
    for name, weight in base.items():
        average = weight.double()
        for n, value in enumerate(out[f"history.{name}"].double()):
            d = min(decay, (1 + n) / (10 + n))
            average = d * average + (1 - d) * value
        torch.testing.assert_close(out[f"w.{name}"].double(), average, rtol=1e-5, atol=1e-7)
        flat = weight.double().flatten()
        if name in adapter_tensors(path):
            indices, delta = adapter_tensors(path)[name]
            flat[indices] += delta.double()
        torch.testing.assert_close(flat.view_as(weight), average, rtol=1e-5, atol=1e-7)
    assert not torch.equal(out["w.up.weight"], out["history.up.weight"][-1])


def test_33_samples_and_the_file_of_a_run_are_the_averages(train, sara, model, tmp_path):
    words = ["--budget", "5%", "--lr", "1e-2", "--sample-prompt", "a red square", "--sample-steps", "2"]
    (_, plain), (_, averaged) = train(*words), train(*words, "--ema-decay", "0.9")
    assert not same(plain, averaged)
    assert [line["loss"] for line in log(plain)] == [line["loss"] for line in log(averaged)]  # training itself is the same
    assert json.loads((averaged / "summary.json").read_text())["ema_updates"] == 4 and "ema_updates" in (averaged / "report.html").read_text()
    done = sara("generate", "--model", model, "--adapter", averaged / "adapter.safetensors", "--prompt", "a red square", "--steps", "2", "--output", tmp_path / "drawn")
    assert done.returncode == 0, done.stderr
    drawn, sample = (np.asarray(Image.open(path).convert("RGB"), dtype=int) for path in (tmp_path / "drawn/0000.png", averaged / "samples/after/0.png"))
    assert abs(drawn - sample).max() <= 1


def test_35_samples_during_training_are_drawn_once_for_each_optimizer_step_that_asks(train, refused):
    words = ["--budget", "5%", "--lr", "1e-2", "--sample-prompt", "a red square", "--sample-steps", "2", "--progressive-iter", "0"]
    (_, plain), (_, watched) = train(*words), train(*words, "--sample-every", "2", "--gradient-accumulation-steps", "1")
    (_, accumulated) = train(*words, "--sample-every", "2", "--gradient-accumulation-steps", "3")
    assert same(plain, watched)  # looking changes nothing
    for output in (watched, accumulated):
        assert sorted(path.name for path in (output / "samples").iterdir()) == ["after", "before", "step-000002"]  # of 4 steps
        before, middle, after = ((output / "samples" / when / "0.png").read_bytes() for when in ("before", "step-000002", "after"))
        assert middle not in (before, after) and "<th>step-000002</th>" in (output / "report.html").read_text()
    refused(2, ["sample_every", "--sample-prompt"], "train", "--data", "/no/such", "--output", "/no/such/out", "--sample-every", "2")


def test_36_training_the_text_encoder_is_refused_before_anything_is_loaded(refused):
    refused(2, ["train_text_encoder", "Fix"], "train", "--model", "/no/such/model", "--data", "/no/such", "--output", "/no/such/out", "--train_text_encoder")


def test_38_the_command_line_beats_the_file_and_a_misspelt_key_stops_the_run(train, refused, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('lr = 9e-3\nbudget = "5%"\n')
    _, output = train("--config", config, "--lr", "1e-3")
    assert tomllib.loads((output / "config.toml").read_text())["lr"] == 1e-3 and log(output)[0]["lr"] == 1e-3
    config.write_text("lambda_rnk = 1.0\n")
    refused(2, ["lambda_rnk", "lambda_rank"], "train", "--config", config, "--data", tmp_path, "--output", tmp_path / "run")


def test_39_data_come_from_one_source_and_others_are_refused(refused, model, pictures, tmp_path):
    words = ["train", "--model", model, "--output", tmp_path / "run", "--steps", "1", "--budget", "5%"]
    refused(2, "dataset_name", *words, "--dataset_name", "pictures")
    refused(2, "dataset_name", *words, "--data", pictures, "--dataset_name", "pictures")
    refused(2, "data", *words)


def test_40_the_rank_loss_shifts_no_other_draw(train):
    """With a rate that moves nothing, every loss depends on noise, timesteps, captions and order alone."""
    words = ["--budget", "5%", "--lr", "1e-30", "--weight-decay", "0", "--caption-dropout", "0.5", "--random-flip"]
    losses = [[line["loss"] for line in log(train(*words, "--lambda-rank", value)[1])] for value in ("0", "5")]
    assert losses[0] == losses[1] and len(set(losses[0])) == 4


def test_41_documented_commands_name_verbs_and_flags_that_exist(sara):
    commands = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "recipes").glob("**/*.toml")]:
        for line in re.sub(r"\\\n\s*", " ", page.read_text()).splitlines():
            found = re.match(r"\s*(?:\$ )?(?:build/)?sara ([a-z].*)", line.lstrip("`# "))
            if found and "[flags]" not in line and not line.lstrip().startswith("|"):
                commands.append((page.name, shlex.split(found[1].split("`")[0].split("  #")[0], comments=True)))
    assert len(commands) >= 8
    helps = {}
    for page, (verb, *words) in commands:
        if verb not in helps:
            helps[verb] = sara(verb, "--help")
        assert helps[verb].returncode == 0, (page, verb)
        for word in words:
            if word.startswith("--"):
                assert re.search(rf"{re.escape(word.split('=')[0])}\b", helps[verb].stdout), (page, verb, word)


# --- Prompts
def test_53_a_prefix_is_part_of_the_caption_once_and_character_by_character(train, styled, sara, model, pictures, tmp_path):
    for path in pictures.iterdir():
        text = path.suffix == ".txt"
        (tmp_path / path.name).write_bytes((b"tiny style, " if text else b"") + path.read_bytes())
    words = ["--budget", "5%", "--lr", "5e-2"]
    _, prefixed = train(*words, "--caption-prefix", "tiny style, ")
    written = tmp_path / "written"
    done = sara("train", "--model", model, "--data", tmp_path, "--output", written, "--steps", "4", "--batch-size", "2", *words)
    assert done.returncode == 0, done.stderr
    assert same(prefixed, written)
    assert metadata(styled)["prompt_prefix"] == "tiny style, "
    out = sara("generate", "--model", model, "--adapter", styled, "--prompt", "tiny style, a red square", "--steps", "2", "--output", tmp_path / "drawn")
    assert out.returncode == 0, out.stderr
    assert json.loads((tmp_path / "drawn" / "prompts.jsonl").read_text())["text"] == "tiny style, a red square"  # a prompt is taken as it is typed
