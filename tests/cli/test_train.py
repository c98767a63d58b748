# SPDX-License-Identifier: Apache-2.0
"""What `sara train` leaves, how it stops, and what it says when it cannot go on."""

import json
import os
import re
import signal
import subprocess
import time
import tomllib
import xml.etree.ElementTree
from pathlib import Path

import pytest
from PIL import Image
from noise import noise_picture
from probe import BUILD
from safetensors import safe_open
from safetensors.torch import load_file

PROMPTS = ("a red square", "a <b>bold</b> circle")


@pytest.fixture(scope="session")
def six(tmp_path_factory):
    """Six captioned pictures of 16 x 16."""
    folder = tmp_path_factory.mktemp("six")
    for index in range(6):
        noise_picture((16, 16), 20 + 30 * index, index).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"number {index}\n")
    return folder


def words(model, data, output, *more):
    return ["train", "--model", model, "--data", data, "--output", output, "--budget", "5%", "--steps", "6", "--batch-size", "2", *more]


@pytest.fixture(scope="session")
def run(sara, model, six, tmp_path_factory):
    output = tmp_path_factory.mktemp("train") / "run"
    prompts = [word for prompt in PROMPTS for word in ("--sample-prompt", prompt)]
    done = sara(*words(model, six, output, "--lr", "1e-2", "--seed", "3", "--sample-steps", "2", *prompts, "--json"))
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout)


def test_a_run_leaves_its_files_and_no_others(run):
    names = {str(path.relative_to(run[0])) for path in run[0].rglob("*") if path.is_file()}
    pictures = {f"samples/{when}/{index}.png" for when in ("before", "after") for index in range(len(PROMPTS))}
    assert names == {"adapter.safetensors", "config.toml", "metrics.jsonl", "summary.json", "loss.svg", "report.html"} | pictures


def test_every_step_is_logged(run):
    lines = [json.loads(line) for line in (run[0] / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["loss"] > 0 and line["grad_norm"] > 0 and line["seconds"] > 0 and not line["skipped"] for line in lines)
    assert [line["reselected"] for line in lines].count(True) == 1


def test_the_summary_is_printed_and_kept(run):
    summary = json.loads((run[0] / "summary.json").read_text())
    assert summary == run[1]
    assert (summary["steps"], summary["images"], summary["resolution"], summary["batch_size"]) == (6, 6, 16, 2)
    assert 0.04 < summary["share_selected"] < 0.06
    assert summary["result"] == "adapter.safetensors" and "stopped" not in summary
    assert summary["final_loss"] > 0 and summary["seconds_per_step"] > 0 and summary["peak_memory_gb"] > 0.01


def test_the_adapter_knows_where_it_comes_from(run, model):
    with safe_open(run[0] / "adapter.safetensors", "pt") as file:
        metadata = file.metadata()
        assert list(file.keys())
    assert metadata["base_model"] == model.name
    assert (metadata["family"], metadata["method"], metadata["seed"], metadata["steps"], metadata["lr"]) == ("sd1", "sara", "3", "6", "0.01")
    assert json.loads(metadata["config"])["resolution"] == 16


def test_the_config_repeats_the_run_bit_for_bit(run, sara, tmp_path):
    config = tomllib.loads((run[0] / "config.toml").read_text())
    assert config["resolution"] == 16 and config["steps"] == 6 and config["lr"] == 0.01
    done = sara("train", "--config", run[0] / "config.toml", "--output", tmp_path / "again", "--quiet")
    assert done.returncode == 0, done.stderr
    again = load_file(tmp_path / "again" / "adapter.safetensors")
    first = load_file(run[0] / "adapter.safetensors")
    assert first.keys() == again.keys() and all(first[name].equal(again[name]) for name in first)


def test_the_same_command_gives_the_same_bytes_and_another_seed_others(sara, model, six, tmp_path):
    def train(seed):
        done = sara(*words(model, six, tmp_path / "run", "--lr", "1e-2", "--seed", seed, "--overwrite"))
        assert done.returncode == 0, done.stderr
        return (tmp_path / "run" / "adapter.safetensors").read_bytes()

    first = train(1)
    assert first == train(1) and first != train(2)


def test_samples_before_and_after_are_pictures_that_differ(run):
    for index in range(len(PROMPTS)):
        before, after = (Image.open(run[0] / "samples" / when / f"{index}.png") for when in ("before", "after"))
        assert before.size == after.size == (16, 16)
        assert before.tobytes() != after.tobytes()


def test_chart_and_report_can_be_read(run):
    xml.etree.ElementTree.parse(run[0] / "loss.svg")
    page = (run[0] / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * len(PROMPTS)
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page and "<script" not in page


def test_full_training_leaves_weights(sara, model, six, tmp_path):
    output = tmp_path / "full"
    done = sara("train", "--model", model, "--data", six, "--output", output, "--method", "full", "--lr", "1e-3", "--steps", "2")
    assert done.returncode == 0, done.stderr
    assert not (output / "adapter.safetensors").exists()
    base = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    tuned = {name.removeprefix("unet."): tensor for name, tensor in load_file(output / "weights.safetensors").items()}
    assert tuned.keys() == base.keys()
    assert all(tuned[name].shape == base[name].shape and not tuned[name].equal(base[name]) for name in base)


def test_a_threshold_that_takes_too_much_is_told_with_one_that_fits(refused, sara, model, six, tmp_path):
    plain = ["train", "--model", model, "--data", six, "--output", tmp_path / "run", "--steps", "1", "--lr", "1e-3", "--threshold"]
    done = refused(2, ["threshold", "203204 of 203204", "gives about 5 %", "force"], *plain, "10", "--cache", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()  # told before any picture is encoded
    fitting = re.search(r"use ([\d.e-]+), which", done.stderr)[1]
    again = sara(*plain, fitting, "--json")  # the folder is as it was: no --overwrite is needed
    assert again.returncode == 0, again.stderr
    assert 0.045 < json.loads(again.stdout)["share_selected"] < 0.055


def test_a_refused_start_can_be_repeated_in_the_same_folder(refused, sara, model, six, tmp_path):
    refused(2, "threshold", *words(model, six, tmp_path / "run", "--threshold", "1e-30", "--budget", "5%"))
    refused(2, "no effect", *words(model, six, tmp_path / "run", "--method", "full"))
    refused(2, ["max_timestep", "at most 1000, got 1001"], *words(model, six, tmp_path / "run", "--max-timestep", "1001"))
    refused(2, ["min_timestep", "less than 1000, got 1000"], *words(model, six, tmp_path / "run", "--min-timestep", "1000"))
    done = sara(*words(model, six, tmp_path / "run"))
    assert done.returncode == 0, done.stderr


def start(arguments, **options):
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    return subprocess.Popen([BUILD / "sara", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options)


def wait_for(condition, process):
    for _ in range(1200):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("waited for a minute")


@pytest.mark.parametrize("sent, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_the_middle_saves_and_says_so(model, six, tmp_path, sent, code):
    output = tmp_path / "run"
    metrics = output / "metrics.jsonl"
    process = start(words(model, six, output, "--steps", "1000000"))
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 2, process)
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert stdout == "" and stderr.count("sara: error: ") == 1
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) < 1000000
    assert f"step {steps[-1]}" in stderr
    with safe_open(output / "adapter.safetensors", "pt") as file:
        assert file.metadata()["steps"] == str(steps[-1])
    assert json.loads((output / "summary.json").read_text())["stopped"] == code
    assert not (output / "run.lock").exists()


def test_a_folder_in_use_names_the_run_that_holds_it(refused, model, six, tmp_path):
    output = tmp_path / "run"
    process = start(words(model, six, output, "--steps", "1000000"))
    try:
        wait_for((output / "metrics.jsonl").exists, process)
        refused(4, ["another run", f"PID {process.pid}"], *words(model, six, output, "--overwrite"))
        assert process.poll() is None and (output / "metrics.jsonl").exists()
    finally:
        process.kill()
        process.communicate()


def test_training_that_leaves_the_finite_numbers_stops_with_the_last_good_weights(sara, model, six, tmp_path):
    done = sara(*words(model, six, tmp_path / "run", "--lr", "1e30", "--steps", "40", "--max-skipped-steps", "3"))
    assert done.returncode == 5, done.stderr
    assert done.stdout == "" and done.stderr.count("sara: error: ") == 1
    assert "3 steps in a row" in done.stderr and "--lr" in done.stderr
    tensors = load_file(tmp_path / "run" / "emergency" / "adapter.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())
    assert "emergency/adapter.safetensors" in done.stderr and not (tmp_path / "run" / "adapter.safetensors").exists()
    report = json.loads((tmp_path / "run" / "nan_report.json").read_text())
    assert report["step"] == int(re.search(r"the last one (\d+)", done.stderr).group(1))
    assert len(report["files"]) == len(report["timesteps"]) and all(Path(file).is_file() for file in report["files"])
    assert all(0 <= timestep < 1000 for timestep in report["timesteps"]) and "nan" in (report["loss"], report["gradient_norm"])
    assert report["largest_weight"]["unet.conv_in.weight"] > 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["skipped"] for line in lines[-3:]] == [True] * 3 and not lines[0]["skipped"]


def test_a_disk_that_fills_up_in_the_log_keeps_what_is_trained(model, six, tmp_path):
    """A limit on the size of a file stands in for the disk: the log outgrows it, the adapter does not."""
    output = tmp_path / "run"
    command = [BUILD / "sara", *map(str, words(model, six, output, "--budget", "50", "--steps", "2000"))]
    limit = 48  # blocks of 1 KiB
    shell = f'ulimit -f {limit}; exec "$@"'
    done = subprocess.run(["bash", "-c", shell, "bash", *command], capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
    assert done.returncode == 4, done.stderr
    assert done.stdout == "" and "metrics.jsonl" in done.stderr and "File too large" in done.stderr
    with safe_open(output / "adapter.safetensors", "pt") as file:
        steps = int(file.metadata()["steps"])
    assert 50 < steps < 2000


def test_a_folder_that_may_not_be_written_is_refused(model, six, tmp_path):
    output = tmp_path / "closed"
    output.mkdir(mode=0o555)
    drop = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []  # the superuser ignores modes
    command = [*drop, BUILD / "sara", *map(str, words(model, six, output))]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
    assert done.returncode == 4 and done.stdout == "", done.stderr
    assert "cannot write to the output folder: Permission denied" in done.stderr


def test_cuda_is_not_replaced_quietly(refused, model, six, tmp_path):
    if subprocess.run(["sh", "-c", "ls /dev/nvidia0"], capture_output=True).returncode == 0:
        pytest.skip("this machine has a GPU")
    refused(2, ["CUDA", "--device cpu"], *words(model, six, tmp_path / "run", "--device", "cuda"))
    assert not (tmp_path / "run").exists()


def test_config_files_are_checked_all_at_once(refused, sara, model, six, tmp_path):
    config = tmp_path / "bad.toml"
    config.write_text('stepz = 3\nbatch_size = "two"\nsnr_gamma = -1.0\n')
    done = sara(*words(model, six, tmp_path / "run", "--config", config)[:7], "--config", config)
    assert done.returncode == 2 and done.stdout == ""
    for phrase in ("bad.toml:1:1", "stepz", "steps", "bad.toml:2:", "batch_size", "bad.toml:3:", "snr_gamma", "> 0"):
        assert phrase in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()
