# SPDX-License-Identifier: Apache-2.0
"""Behaviours that an implementation of SaRA is known to get wrong, at the program and its files.

Rows 4-7, 9-11, 14-20, 23-27, 30, 31 and 51 are in pitfalls_test.cpp, on the optimizer itself; 13, 34, 48 and 49 in tests/python too, under
their numbers; 54-56 in test_scope.py. Row 32 (several processes) belongs to what this version does not have and refuses.
"""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import time
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from noise import noise_picture
from probe import BUILD, ROOT, ProbeError, run_probe
from safetensors import safe_open
from safetensors.torch import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"
LR, THRESHOLD = 2e-3, 0.02


def network(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv.weight": (8, 3, 3, 3), "conv.bias": (8,), "norm.weight": (8,), "norm.bias": (8,), "up.weight": (24, 32),
              "up.bias": (24,), "down.weight": (4, 24), "down.bias": (4,)}  # fmt: skip
    return {name: (0.1 * torch.randn(shape, generator=generator)).to(dtype) for name, shape in shapes.items()}


def probe_train(base, steps, path=None, **more):
    """Trains the probe's network for some steps; its deltas go to `path`."""
    generator = torch.Generator().manual_seed(1)
    dtype = base["conv.weight"].dtype
    data = {"x": torch.randn(steps, 4, 3, 8, 8, generator=generator).to(dtype), "y": torch.randn(steps, 4, 4, generator=generator)}
    options = {"threshold": THRESHOLD, **more.pop("options", {})}
    config = {"method": "sara", "lr": LR, "options": options, **more, **({"save": str(path)} if path else {})}
    return run_probe("method", {**{f"w.{n}": w for n, w in base.items()}, **data}, config)


def adapter_tensors(path):
    """key -> (flat indices, deltas)."""
    tensors, out = load_file(path), {}
    for name, gaps in tensors.items():
        if name.endswith(".gaps"):
            ends = gaps.numpy() < 255
            indices = np.cumsum(gaps.numpy().astype(np.int64) + ends)[ends] - 1
            out[name[: -len(".gaps")]] = torch.from_numpy(indices), tensors[name[: -len(".gaps")] + ".delta"]
    return out


def metadata(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def log(output):
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def same(one, other):
    one, other = load_file(one / "adapter.safetensors"), load_file(other / "adapter.safetensors")
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


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


# A value for each flag of `sara train` that changes what is trained; the flags of OTHER have a test of their own below.
FLAGS = {
    "--steps": "5", "--batch-size": "3", "--gradient-accumulation-steps": "2", "--lr-scheduler": "constant", "--lr-warmup-steps": "2", "--precision": "bf16",
    "--caption-dropout": "1", "--min-timestep": "500", "--max-timestep": "500", "--noise-offset": "0.5", "--snr-gamma": "1", "--budget": "9%", "--lr": "3e-3", "--adam-beta1": "0.5", "--adam-beta2": "0.5",
    "--eps": "1e-2", "--weight-decay": "0.9", "--decay-to": "base", "--lambda-rank": "9", "--rank-mode": "all", "--rank-layers": "all", "--rank-reduction": "sum",
    "--progressive-iter": "1", "--max-grad-norm": "1e-6", "--include": "attn", "--exclude": "attn", "--seed": "4", "--moments": "8bit", "--prediction-type": "v_prediction", "--ema-decay": "0.5", "--caption": "one for all",
    "--caption-prefix": "tiny style, ", "--resolution": "8", "--random-flip": None, "--resize-filter": "bicubic",
}  # fmt: skip
OTHER = {
    "model", "data", "output", "json", "overwrite", "cache", "device", "method", "sample-prompt", "sample-every", "sample-steps", "sample-guidance", "max-skipped-steps", "threshold",
    "selection", "tuned", "adapter-dtype",  # tests/cli/test_selection.py
    "force", "image-column", "caption-column", "caption-extension", "missing-caption", "verify-images", "skip-bad-images", "allow-nonfinite",
    "checkpoint-every", "checkpoints-limit", "resume", "allow-change", "strict",  # tests/cli/test_resume.py
    "crop", "memory", "memory-budget",  # tests/cli/test_memory.py: they must not change what is trained
    "tokenizer",  # tests/cli/test_convert.py
}  # fmt: skip
# Flags of other families, which tests/parity/test_pipeline_sd3.py and test_pipeline_animatediff.py train with.
OF_OTHER_FAMILIES = {
    "--weighting-scheme": "mode", "--logit-mean": "1", "--logit-std": "1", "--mode-scale": "1", "--precondition-outputs": "1", "--max-sequence-length": "9",
    "--num-frames": "4", "--frame-stride": "2", "--motion-adapter": "/no/such/folder",
}  # fmt: skip


def flags_of_train(sara):
    page = sara("config", "reference").stdout
    section = page.split("## sara train\n")[1].split("\n## ")[0]
    return [row for row in re.findall(r"^\| `(--[a-z0-9-]+)", section, re.M)]


def test_37_every_flag_of_train_is_in_the_table(sara):
    known = set(FLAGS) | set(OF_OTHER_FAMILIES) | {f"--{name}" for name in OTHER}
    assert set(flags_of_train(sara)) == known, set(flags_of_train(sara)) ^ known


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Pictures whose size, sides and captions leave something to choose."""
    folder = tmp_path_factory.mktemp("uneven")
    for index in range(4):
        noise_picture((37, 24), 90, index).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"number {index}\n")
    return folder


USUAL = {"--budget": "5%", "--lr": "1e-2", "--seed": "3", "--lambda-rank": "0.5", "--eps": "1e-8", "--batch-size": "2", "--steps": "4"}


def usual_run(sara, model, data, output, flag=None, value=()):
    words = [word for name, given in USUAL.items() if name != flag for word in (name, given)]
    return sara("train", "--model", model, "--data", data, "--output", output, *words, *([flag, *value] if flag else []))


@pytest.fixture(scope="module")
def usual(sara, model, uneven, tmp_path_factory):
    output = tmp_path_factory.mktemp("usual") / "run"
    done = usual_run(sara, model, uneven, output)
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.parametrize("flag", FLAGS)
def test_37_a_flag_changes_what_is_trained(flag, sara, model, uneven, usual, tmp_path):
    done = usual_run(sara, model, uneven, tmp_path / "run", flag, [FLAGS[flag]] if FLAGS[flag] else [])
    assert done.returncode == 0, done.stderr
    assert not same(tmp_path / "run", usual)


@pytest.mark.parametrize("flag", OF_OTHER_FAMILIES)
def test_37_a_flag_of_another_family_is_refused(flag, sara, model, uneven, tmp_path):
    done = usual_run(sara, model, uneven, tmp_path / "run", flag, [OF_OTHER_FAMILIES[flag]])
    assert done.returncode != 0
    named = OF_OTHER_FAMILIES[flag] if flag == "--motion-adapter" else flag[2:].replace("-", "_")
    assert named in done.stderr and "Fix:" in done.stderr


def test_37_flags_of_the_run_act(sara, model, uneven, own_model, tmp_path):
    counter = iter(range(100))

    def run(*more, code=0, output=None, base=None):
        output = output or tmp_path / f"run{next(counter)}"
        done = sara("train", "--model", base or model, "--data", uneven, "--output", output, "--lr", "1e-2", "--steps", "2", "--batch-size", "2", *more)
        assert (done.returncode == 0) == (code == 0) and (code in (0, 1) or done.returncode == code), done.stderr
        return done, output

    done, first = run("--budget", "5%", "--progressive-iter", "0", "--json", "--cache", tmp_path / "cache")
    assert json.loads(done.stdout)["steps"] == 2 and any((tmp_path / "cache").iterdir())
    run("--budget", "5%", output=first, code=1)
    run("--budget", "5%", "--overwrite", output=first)
    run("--budget", "5%", "--device", "nowhere", code=2)
    run("--budget", "5%", "--threshold", "1e-3", code=2)
    run("--threshold", "10", code=2)
    run("--budget", "5%", "--crop", "random", code=2)  # latents are cached: a crop cannot differ between epochs
    _, threshold = run("--threshold", "10", "--force")
    assert metadata(threshold / "adapter.safetensors")["threshold"] == "10.0"
    assert (run("--method", "full")[1] / "weights.safetensors").exists()
    pictures = [(run("--budget", "5%", "--sample-prompt", "a cat", *more)[1] / "samples/after/0.png").read_bytes()
                for more in (["--sample-steps", "2"], ["--sample-steps", "3"], ["--sample-steps", "2", "--sample-guidance", "1.5"])]  # fmt: skip
    assert len(set(pictures)) == 3
    skipped = [len(log(run("--budget", "5%", "--lr", "1e30", "--steps", "30", "--max-skipped-steps", n, code=5)[1])) for n in ("1", "4")]
    assert skipped[1] == skipped[0] + 3
    broken = load_file(own_model / UNET)
    broken["conv_in.bias"][0] = math.inf
    save_file(broken, own_model / UNET, metadata={"format": "pt"})
    assert "conv_in.bias" in run("--budget", "5%", base=own_model, code=1)[0].stderr
    assert "skipped" in run("--budget", "5%", "--max-skipped-steps", "1", "--allow-nonfinite", "--exclude", "conv_in", base=own_model, code=5)[0].stderr


def test_37_flags_of_the_data_act(sara, model, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for index in range(2):
        noise_picture((16, 16), 90, index).save(data / f"{index}.png")
    rows = [{"file_name": f"{index}.png", "picture": f"{1 - index}.png", "text": f"number {index}", "words": f"word {index}"} for index in range(2)]
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counter = iter(range(100))

    def run(*more, code=0):
        output = tmp_path / f"run{next(counter)}"
        done = sara("train", "--model", model, "--data", data, "--output", output, "--budget", "5%", "--lr", "1e-2", "--steps", "2", "--batch-size", "2", *more)
        assert (done.returncode == 0) == (code == 0), done.stderr
        return output

    usual = run()
    assert not same(usual, run("--image-column", "picture")) and not same(usual, run("--caption-column", "words"))
    run("--image-column", "none", code=1)
    (data / "metadata.jsonl").unlink()
    run(code=1)  # no captions at all
    for index in range(2):
        (data / f"{index}.words").write_text(f"number {index}")
    assert same(usual, run("--caption-extension", ".words"))
    run("--missing-caption", "skip", code=1)
    assert not same(usual, run("--missing-caption", "empty"))
    noise_picture((16, 16), 90, 2).save(data / "2.png")
    damaged = bytearray((data / "2.png").read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 40] = bytes(40)  # the header is good, the picture is not
    (data / "2.png").write_bytes(damaged)
    run("--caption", "x", code=1)
    assert (run("--caption", "x", "--skip-bad-images") / "skipped.txt").read_text().count("2.png") == 1
    early, late = (sara("train", "--model", model, "--data", data, "--output", tmp_path / f"late{how}", "--budget", "5%", "--caption", "x", "--steps", "1",
                        "--verify-images", how) for how in ("full", "header"))  # fmt: skip
    assert early.returncode != 0 and late.returncode != 0
    assert "captions" not in early.stderr and "captions" in late.stderr, (early.stderr, late.stderr)  # found when the picture is encoded


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


# --- Save and load
def test_42_loading_what_was_saved_gives_the_trained_weights_and_a_wrong_size_is_named(tmp_path):
    base, path = network(torch.bfloat16), tmp_path / "adapter.safetensors"
    trained = probe_train(base, 20, path)
    out = run_probe("adapter", base, {"adapters": [[str(path), 1.0]], "family": "test"})
    assert all(torch.equal(out[name], trained[f"w.{name}"]) for name in base)
    cut = dict(base, **{"up.weight": base["up.weight"][:2].clone()})
    with pytest.raises(ProbeError, match=r"up\.weight.*64"):  # what the tensor has
        run_probe("adapter", cut, {"adapters": [[str(path), 1.0]], "family": "test", "force": True})


def test_43_an_adapter_stands_alone(train, tmp_path):
    _, output = train("--budget", "5%", "--lr", "1e-2")
    path = output / "adapter.safetensors"
    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + header_bytes])  # safetensors: JSON, not a pickle
    assert {"format", "version", "family", "base_hash", "threshold", "selected"} <= header["__metadata__"].keys()
    assert all(name.startswith("unet.") for name in header if name != "__metadata__")
    base, small = network(), tmp_path / "small.safetensors"
    trained = probe_train(base, 5, small)
    turned = {name: base[name] for name in reversed(base)}
    out = run_probe("adapter", turned, {"adapters": [[str(small), 1.0]], "family": "test"})
    assert all(torch.allclose(out[name], trained[f"w.{name}"], rtol=3e-7, atol=1e-9) for name in base)
    for change, family, reason in (({"up.weight": base["up.weight"] + 1}, "test", "another base: up.weight"), ({}, "sdxl", "another model family")):
        with pytest.raises(ProbeError, match=reason):
            run_probe("adapter", {**base, **change}, {"adapters": [[str(small), 1.0]], "family": family})
        run_probe("adapter", {**base, **change}, {"adapters": [[str(small), 1.0]], "family": family, "force": True})


def test_44_an_adapter_on_top_of_another_adds_and_a_changed_base_is_noticed(tmp_path):
    base, path = network(), tmp_path / "adapter.safetensors"
    trained = probe_train(base, 5, path)
    twice = run_probe("adapter", base, {"adapters": [[str(path), 1.0], [str(path), 1.0]], "family": "test"})
    for name in base:
        torch.testing.assert_close(twice[name] - base[name], 2 * (trained[f"w.{name}"] - base[name]), rtol=1e-4, atol=1e-8)
        assert torch.equal(twice[f"removed.{name}"], base[name])
    with pytest.raises(ProbeError, match="another base"):
        run_probe("adapter", {name: trained[f"w.{name}"] for name in base}, {"adapters": [[str(path), 1.0]], "family": "test"})


@pytest.fixture(scope="module")
def styled(train):
    return train("--budget", "5%", "--lr", "5e-2", "--caption-prefix", "tiny style, ")[1] / "adapter.safetensors"


@pytest.fixture
def draw(sara, model, tmp_path):
    counter = iter(range(100))

    def run(*words, base=None, code=0):
        output = tmp_path / f"drawn{next(counter)}"
        done = sara("generate", "--model", base or model, "--prompt", "a red square", "--steps", "3", "--output", output, *words)
        assert done.returncode == code if code == 0 else done.returncode != 0, done.stderr
        return Image.open(output / "0000.png").convert("RGB").tobytes() if code == 0 else done

    return run


def test_45_generation_applies_the_adapter_or_says_that_it_cannot(draw, styled, tmp_path):
    base = draw()
    assert draw("--adapter", f"{styled}:0") == base != draw("--adapter", styled)
    (tmp_path / "bad.safetensors").write_bytes(styled.read_bytes()[:-5])
    draw("--adapter", tmp_path / "bad.safetensors", code=1)
    draw("--adapter", tmp_path / "missing.safetensors", code=1)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0])
def test_46_a_scale_multiplies_the_delta_and_removal_restores_the_base(scale, tmp_path):
    base, path = network(), tmp_path / "adapter.safetensors"
    probe_train(base, 5, path)
    out, deltas = run_probe("adapter", base, {"adapters": [[str(path), scale]], "family": "test"}), adapter_tensors(path)
    for name, weight in base.items():
        flat = weight.double().flatten()
        if name in deltas:
            flat[deltas[name][0]] += scale * deltas[name][1].double()
        assert torch.equal(out[name], flat.view_as(weight).float()), name
        assert torch.equal(out[f"removed.{name}"], weight), name


def test_47_merging_adds_scaled_deltas_in_any_order(train, sara, model, styled, draw, tmp_path):
    other = train("--budget", "8%", "--lr", "5e-2", "--seed", "9")[1] / "adapter.safetensors"  # overlaps, and has more
    words = ["--adapter", f"{styled}:0.6", "--adapter", f"{other}:0.5"]
    merged = [tmp_path / "one", tmp_path / "two"]
    for folder, order in zip(merged, (words, words[2:] + words[:2])):
        done = sara("merge", "--model", model, "--output", folder, *order)
        assert done.returncode == 0, done.stderr
    one, two, base = (load_file(folder / UNET) for folder in (*merged, model))
    for key, weight in base.items():
        flat = weight.double().flatten()
        for path, scale in ((styled, 0.6), (other, 0.5)):
            if f"unet.{key}" in adapter_tensors(path):
                indices, delta = adapter_tensors(path)[f"unet.{key}"]
                flat[indices] += scale * delta.double()
        assert torch.equal(one[key], two[key])
        torch.testing.assert_close(one[key], flat.view_as(weight).float(), rtol=3e-7, atol=1e-9)
    assert draw(base=merged[0]) == draw(*words)


def test_50_the_end_is_saved(train):
    _, output = train("--budget", "5%", "--lr", "1e-3", steps=5)
    assert metadata(output / "adapter.safetensors")["steps"] == "5" and log(output)[-1]["step"] == 5


def resumed(train, sara, model, pictures, at, *more, steps=20):
    """Trains twenty steps in one go, and again from the checkpoint after step `at`: the folders of both."""
    words = ("--checkpoint-every", "1", "--lr", "1e-2", *more)
    _, straight = train(*words, steps=steps)
    again = straight.with_name("again")
    shutil.copytree(straight, again)
    for path in (again / "checkpoints").iterdir():
        if int(path.name.removeprefix("step-")) > at:
            shutil.rmtree(path)
    (again / "summary.json").unlink()
    done = sara("train", "--model", model, "--data", pictures, "--output", again, "--steps", steps, "--batch-size", "2", *words, "--resume")
    assert done.returncode == 0 and f"resumed after step {at}" in done.stderr, done.stderr
    return straight, again


def states(output):
    return [load_file(output / "checkpoints" / f"step-{step}" / "state.safetensors") for step in (11, 20)]


def assert_same_run(one, other):
    """Log, learned values, moments and every other tensor of the state; rate and order of the data show in the log."""
    timeless = [[{name: value for name, value in line.items() if name not in ("seconds", "memory_gb")} for line in log(output)] for output in (one, other)]
    assert timeless[0] == timeless[1] and [line["step"] for line in timeless[1]] == list(range(1, 21))
    for ours, theirs in zip(states(one), states(other)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours if name != "progress.seconds")


@pytest.mark.parametrize("at", [7, 10])  # inside an epoch of two steps, and at the end of one
def test_48_twenty_steps_are_some_and_a_resume_and_the_rest(train, sara, model, pictures, at):
    straight, again = resumed(train, sara, model, pictures, at, "--budget", "5%", "--random-flip", "--caption-dropout", "0.3", "--progressive-iter", "0")
    assert_same_run(straight, again)
    assert same(straight, again)


@pytest.mark.parametrize("at", [9, 10, 11])
def test_49_a_resume_before_at_and_after_the_switch_is_the_uninterrupted_run(train, sara, model, pictures, at):
    straight, again = resumed(train, sara, model, pictures, at, "--budget", "5%", "--progressive-iter", "10")
    assert_same_run(straight, again)
    assert same(straight, again)
    assert [line["step"] for line in log(again) if line["reselected"]] == [10]
    assert 0 < log(again)[-1]["active"] < log(again)[0]["active"]


def test_51_a_limit_of_two_leaves_the_two_newest_and_a_killed_save_the_ones_before(train, sara, model, pictures, tmp_path):
    words = ("--budget", "5%", "--lr", "1e-2", "--checkpoint-every", "1", "--checkpoints-limit", "2")
    _, whole = train(*words, steps=9)
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == ["step-8", "step-9"]
    command = [BUILD / "sara", "train", "--model", model, "--data", pictures, "--output", tmp_path / "run", "--batch-size", "2", *words]
    process = subprocess.Popen([*map(str, command), "--steps", "100000"], stderr=subprocess.DEVNULL, env=dict(os.environ, OMP_NUM_THREADS="1"))
    folder = tmp_path / "run/checkpoints"
    saving = set()
    while process.poll() is None and not (saving and (folder / "step-3").exists()):
        time.sleep(0.001)
        saving = {path.name for path in folder.glob("step-*.tmp.*")} if folder.exists() else set()
    process.kill()  # in the middle of a save, or a moment later
    process.wait()
    whole = {int(path.name.removeprefix("step-")) for path in folder.iterdir() if re.fullmatch(r"step-\d+", path.name)}
    assert len(whole) in (2, 3) and max(whole) >= 3  # three between a save and its pruning
    done = sara(*command[1:], "--steps", max(whole) + 2, "--resume", "--allow-change", "--strict")
    assert done.returncode == 0 and f"resumed after step {max(whole)}" in done.stderr, done.stderr


def test_52_full_training_saves_weights_that_load_and_resumes(train, sara, model, pictures):
    straight, again = resumed(train, sara, model, pictures, 10, "--method", "full")
    assert_same_run(straight, again)
    tuned, base = load_file(again / "weights.safetensors"), load_file(model / UNET)
    assert {f"unet.{name}" for name in base} == set(tuned)
    assert all(tuned[f"unet.{name}"].shape == weight.shape and not torch.equal(tuned[f"unet.{name}"], weight) for name, weight in base.items())
    assert all(torch.equal(weight, tuned[name]) for name, weight in load_file(straight / "weights.safetensors").items())


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
