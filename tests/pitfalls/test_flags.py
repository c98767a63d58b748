# SPDX-License-Identifier: Apache-2.0
"""Row 37: no flag is parsed and ignored."""

import json
import math
import re

import pytest
from noise import noise_picture
from pitfall_runs import UNET, log, metadata, same
from safetensors.torch import load_file, save_file

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
    "process-timeout",  # test_several_processes.py
    "cuda-graph",  # tests/cuda/trainer_test.cpp: it must not change what is trained; refused in tests/cli/test_bad_training_input.py
    "prior-preservation", "class-data", "class-prompt", "num-class-images", "prior-loss-weight",  # tests/cli/test_dreambooth.py
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
