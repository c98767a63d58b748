# SPDX-License-Identifier: Apache-2.0
"""Runs that stop, are killed or find their disk full, and go on as if nothing had been."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest
from noise import noise_picture
from probe import BUILD
from safetensors.torch import load_file, save_file

WALL_CLOCK = {"seconds", "memory_gb", "seconds_per_step", "training_seconds", "peak_memory_gb"}
STEPS = 24


@pytest.fixture(scope="session")
def five(tmp_path_factory):
    """Five captioned pictures of 16 x 16: with batches of two an epoch ends inside a batch."""
    folder = tmp_path_factory.mktemp("five")
    for index in range(5):
        noise_picture((16, 16), 20 + 30 * index, index).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"number {index}\n")
    return folder


def words(model, data, *more, steps=STEPS):
    usual = ["--budget", "5%", "--lr", "1e-2", "--lambda-rank", "0.1", "--batch-size", "2", "--seed", "3"]
    return ["train", "--model", model, "--data", data, "--output", "run", "--steps", steps, *usual, *more]


def start(arguments, cwd):
    """In the background, in its own folder: the output is the same relative path for every run, and so are the bytes of its results."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SARA_")}
    return subprocess.Popen([BUILD / "sara", *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=dict(clean, OMP_NUM_THREADS="1"))  # fmt: skip


def lines(run):
    path = run / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def wait_for_lines(run, count, process):
    for _ in range(2400):
        if len(lines(run)) >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.025)
    raise AssertionError("waited for a minute")


def timeless(values):
    return {name: value for name, value in values.items() if name not in WALL_CLOCK}


def checkpoints(run):
    return sorted((int(path.name[5:]) for path in (run / "checkpoints").iterdir() if re.fullmatch(r"step-\d+", path.name)))


def assert_same_results(run, straight):
    """Byte for byte, apart from times and memory."""
    for name in ("adapter.safetensors", "config.toml", "loss.svg"):
        assert (run / name).read_bytes() == (straight / name).read_bytes(), name
    assert [timeless(json.loads(line)) for line in lines(run)] == [timeless(json.loads(line)) for line in lines(straight)]
    one, other = (json.loads((folder / "summary.json").read_text()) for folder in (run, straight))
    assert timeless(one) == timeless(other)
    for picture in (straight / "samples").rglob("*.png"):
        assert (run / picture.relative_to(straight)).read_bytes() == picture.read_bytes(), picture
    assert not (run / "run.lock").exists()


@pytest.fixture
def straight(sara, model, five, tmp_path):
    """straight("--flag", ...) -> folder of a run that nothing interrupts."""

    def run(*more, **options):
        folder = tmp_path / "straight"
        folder.mkdir(exist_ok=True)
        done = sara(*words(model, five, *more, **options), cwd=folder)
        assert done.returncode == 0, done.stderr
        return folder / "run"

    return run


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def cut_back(run, step):
    """The folder of a finished run as a kill soon after this step would have left it."""
    for saved in checkpoints(run):
        if saved > step:
            shutil.rmtree(run / "checkpoints" / f"step-{saved}")
    for name in ("adapter.safetensors", "summary.json", "loss.svg", "report.html"):
        (run / name).unlink()


@pytest.mark.parametrize("sent, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_says_how_to_go_on_and_ends_as_the_uninterrupted_one(sara, model, five, place, straight, sent, code):
    more = ["--sample-prompt", "a cat", "--sample-steps", "1", "--sample-every", "50"]
    process = start(words(model, five, *more, steps=120), place)
    wait_for_lines(place / "run", 3, process)
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code and stdout == "", stderr
    stopped = len(lines(place / "run"))
    assert 3 <= stopped < 120 and f"after step {stopped}" in stderr and checkpoints(place / "run") == [stopped]
    before = (place / "run/samples/before/0.png").stat().st_mtime_ns
    command = re.search(r"Fix: go on with (sara train .*)$", stderr, re.M)[1]
    done = sara(*shlex.split(command)[1:], cwd=place)
    assert done.returncode == 0 and f"resumed after step {stopped}" in done.stderr, done.stderr
    assert (place / "run/samples/before/0.png").stat().st_mtime_ns == before
    assert_same_results(place / "run", straight(*more, steps=120))


def test_a_user_signal_saves_now_and_training_goes_on(model, five, place):
    process = start(words(model, five, steps=1000000), place)
    wait_for_lines(place / "run", 3, process)
    process.send_signal(signal.SIGUSR1)
    for _ in range(2400):
        if (place / "run/checkpoints").exists() and checkpoints(place / "run"):
            break
        assert process.poll() is None
        time.sleep(0.025)
    saved = checkpoints(place / "run")
    wait_for_lines(place / "run", saved[0] + 2, process)
    process.kill()
    process.communicate()
    assert checkpoints(place / "run") == saved and len(saved) == 1


def test_runs_killed_at_any_moment_end_as_the_uninterrupted_one(model, five, place, straight):
    """A checkpoint after every step, so that many a kill falls into a save."""
    more = ["--checkpoint-every", "1", "--checkpoints-limit", "2", "--sample-prompt", "a cat", "--sample-steps", "1"]
    draw = random.Random(4)
    run = place / "run"
    begin, resume = words(model, five, *more, steps=60), words(model, five, *more, "--resume", steps=60)
    arguments, kills = begin, 0
    while True:
        process = start(arguments, place)
        wanted = len(lines(run)) + draw.randint(1, 9) if arguments is resume else draw.randint(1, 9)
        while process.poll() is None and len(lines(run)) < wanted:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.05))
        process.kill()
        _, stderr = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        if process.returncode == 2 and "is finished" in stderr:
            break  # the kill before came when all results were written; those below are all there
        if process.returncode == 2 and "no whole checkpoint" in stderr:
            assert kills == 1  # killed before the first save was whole
            arguments = [*begin, "--overwrite"]
            continue
        assert process.returncode == -signal.SIGKILL, stderr
        kills += 1
        arguments = resume
    assert kills >= 5
    assert checkpoints(run) == [59, 60] and len(list((run / "checkpoints").iterdir())) == 2
    assert_same_results(run, straight(*more, steps=60))


def test_a_run_killed_before_its_last_pictures_goes_on_to_them(sara, model, five, place, straight):
    """The summary is written last: what is missing before it, pictures or report, a resumed run still makes."""
    more = ["--checkpoint-every", "20", "--sample-prompt", "a cat", "--sample-steps", "1"]
    expected = straight(*more, steps=20)
    run = shutil.copytree(expected, place / "run", dirs_exist_ok=True)
    made = ["samples/after/0.png", "loss.svg", "report.html"]
    for name in [*made, "summary.json"]:
        (run / name).unlink()
    done = sara(*words(model, five, *more, "--resume", steps=20), cwd=place)
    assert done.returncode == 0 and "resumed after step 20" in done.stderr, done.stderr
    assert all((run / name).exists() for name in made)
    assert_same_results(run, expected)


def test_a_limit_leaves_the_two_newest(straight):
    run = straight("--checkpoint-every", "5", "--checkpoints-limit", "2")
    assert checkpoints(run) == [15, 20]
    manifest = json.loads((run / "checkpoints/step-20/manifest.json").read_text())
    assert manifest["step"] == 20 and manifest["environment"]["threads"] == 1 and manifest["config"]["seed"] == 3
    assert {"config_hash", "base_hash", "data_hash"} <= set(manifest)
    assert set(manifest["files"]) == {"state.safetensors", "state.json"}


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "manifest.json", "manifest.xxh3"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(sara, refused, model, five, tmp_path, straight, name):
    more = ["--checkpoint-every", "8"]
    run = straight(*more)
    expected = shutil.copytree(run, tmp_path / "expected")
    cut_back(run, 16)
    path = run / "checkpoints/step-16" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (run / "checkpoints/step-17.tmp.99").mkdir()
    (run / "checkpoints/step-17.tmp.99/state.json").write_text("half")
    refused(3, [f"step-16/{'manifest.json' if 'manifest' in name else name}", "checksum", "--strict"], *words(model, five, *more, "--resume", "--strict"), cwd=run.parent)
    done = sara(*words(model, five, *more, "--resume"), cwd=run.parent)
    assert done.returncode == 0, done.stderr
    assert "step-16 is damaged" in done.stderr and "resumed after step 8" in done.stderr
    assert_same_results(run, expected)
    assert checkpoints(run) == [8, 16, 24]
    assert (run / "checkpoints/step-16.damaged" / name).read_bytes() == content  # never deleted
    assert not (run / "checkpoints/step-17.tmp.99").exists()


def test_an_unfinished_save_is_named_and_ignored(sara, model, five, straight):
    run = straight("--checkpoint-every", "8")
    cut_back(run, 8)
    (run / "checkpoints/step-16.tmp.99").mkdir()
    done = sara(*words(model, five, "--checkpoint-every", "8", "--resume"), cwd=run.parent)
    assert done.returncode == 0 and "step-16 is incomplete and ignored" in done.stderr, done.stderr


def test_resume_without_a_checkpoint_is_an_error_and_never_a_fresh_start(refused, model, five, place):
    refused(2, ["no run is in run", "--resume"], *words(model, five, "--resume"), cwd=place)
    assert not (place / "run").exists()
    (place / "run").mkdir()
    refused(2, "no run is in run", *words(model, five, "--resume"), cwd=place)
    assert list((place / "run").iterdir()) == []
    (place / "run/metrics.jsonl").write_text('{"step": 1}\n')
    refused(2, ["no whole checkpoint", "--overwrite"], *words(model, five, "--resume"), cwd=place)
    assert (place / "run/metrics.jsonl").read_text() == '{"step": 1}\n'


def test_a_finished_run_and_too_few_steps_are_refused(refused, model, five, straight):
    run = straight("--checkpoint-every", "8")
    refused(2, ["24 steps is finished", "--allow-change"], *words(model, five, "--checkpoint-every", "8", "--resume"), cwd=run.parent)
    refused(2, ["steps", "more than 24, got 20", "raise --steps"], *words(model, five, "--checkpoint-every", "8", "--resume", steps=20), cwd=run.parent)


def test_a_run_killed_between_its_last_step_and_its_results_finishes(sara, model, five, tmp_path, straight):
    run = straight("--checkpoint-every", "8")
    expected = shutil.copytree(run, tmp_path / "expected")
    cut_back(run, 24)
    done = sara(*words(model, five, "--checkpoint-every", "8", "--resume"), cwd=run.parent)
    assert done.returncode == 0, done.stderr
    assert_same_results(run, expected)


@pytest.mark.parametrize("more, steps, difference", [
    (["--lr", "1e-3"], STEPS, "lr: 0.01, now 0.001"),
    (["--batch-size", "3"], STEPS, "batch_size: 2, now 3"),
    (["--caption-prefix", "x "], STEPS, 'caption_prefix: "", now "x "'),
    (["--noise-offset", "0.1"], STEPS, "noise_offset: 0.0, now 0.1"),
    (["--threads", "2"], STEPS, "threads: 1, now 2"),
    ([], 30, "steps: 24, now 30"),
])  # fmt: skip
def test_another_setting_is_refused_with_the_difference_unless_allowed(sara, refused, model, five, straight, more, steps, difference):
    run = straight("--checkpoint-every", "8")
    cut_back(run, 16)
    changed = words(model, five, *more, "--checkpoint-every", "8", "--resume", steps=steps)
    refused(2, [f"\n  {difference}", "config.toml", "--allow-change"], *changed, cwd=run.parent)
    done = sara(*changed, "--allow-change", cwd=run.parent)
    assert done.returncode == 0 and difference in done.stderr, done.stderr
    assert [json.loads(line)["step"] for line in lines(run)] == list(range(1, steps + 1))


def test_other_data_and_another_base_are_refused(sara, refused, own_model, five, place):
    data = shutil.copytree(five, place / "data")
    plain = words(own_model, data, "--checkpoint-every", "8")
    assert sara(*plain, cwd=place).returncode == 0
    cut_back(place / "run", 16)
    (data / "1.txt").write_text("changed\n")
    refused(2, ["pictures, captions or their encoders", "--allow-change"], *plain, "--resume", cwd=place)
    (data / "1.txt").write_text("number 1\n")
    moved = data.rename(place / "moved")  # the same content at another place is the same data
    path = own_model / "unet/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_in.bias"][0] += 1
    save_file(weights, path, metadata={"format": "pt"})
    plain = words(own_model, moved, "--checkpoint-every", "8")
    refused(2, ["the model's weights", "--allow-change"], *plain, "--resume", cwd=place)
    refused(2, "made for another base", *plain, "--resume", "--allow-change", cwd=place)
    weights["conv_in.bias"][0] -= 1
    save_file(weights, path, metadata={"format": "pt"})


def test_what_changes_nothing_that_is_trained_may_differ(sara, model, five, tmp_path, straight):
    run = straight("--checkpoint-every", "8")
    expected = shutil.copytree(run, tmp_path / "expected")
    cut_back(run, 8)
    moved = shutil.copytree(five, tmp_path / "moved")
    done = sara(*words(model, moved, "--sample-prompt", "a cat", "--sample-steps", "1", "--cache", tmp_path / "cache", "--checkpoint-every", "3", "--resume"), cwd=run.parent)
    assert done.returncode == 0, done.stderr
    ours, theirs = (load_file(folder / "adapter.safetensors") for folder in (run, expected))
    assert ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


def test_flags_that_contradict_each_other_or_do_nothing_are_refused(refused, model, five, place):
    refused(2, ["resume", "overwrite"], *words(model, five, "--resume", "--overwrite"), cwd=place)
    refused(2, ["allow_change", "--resume"], *words(model, five, "--allow-change"), cwd=place)
    refused(2, ["strict", "--resume"], *words(model, five, "--strict"), cwd=place)


def test_the_names_of_diffusers_scripts_are_understood(sara, refused, model, five, place):
    theirs = words(model, five, "--checkpointing_steps", "8", "--checkpoints_total_limit", "1")
    assert sara(*theirs, cwd=place).returncode == 0
    assert checkpoints(place / "run") == [24]
    refused(2, "is finished", *theirs, "--resume_from_checkpoint", "latest", cwd=place)
    refused(2, ["--resume_from_checkpoint", "expected latest, got checkpoint-8", "--resume"], *theirs, "--resume_from_checkpoint", "checkpoint-8", cwd=place)


def test_full_training_resumes_too(sara, model, five, place):
    more = ["train", "--model", model, "--data", five, "--output", "run", "--method", "full", "--lr", "1e-3", "--steps", "6", "--batch-size", "2", "--checkpoint-every", "2"]
    assert sara(*more, cwd=place).returncode == 0
    run = place / "run"
    expected = (run / "weights.safetensors").read_bytes()
    for step in (4, 6):
        shutil.rmtree(run / f"checkpoints/step-{step}")
    (run / "summary.json").unlink()
    done = sara(*more, "--resume", cwd=place)
    assert done.returncode == 0 and "resumed after step 2" in done.stderr, done.stderr
    assert (run / "weights.safetensors").read_bytes() == expected


def test_a_save_that_fails_keeps_and_names_the_older_checkpoint(sara, model, five, tmp_path, straight):
    """A limit on the size of a file stands in for the disk: the adapter fits, the state does not."""
    more = ["--checkpoint-every", "8", "--progressive-iter", "0"]
    run = straight(*more)
    expected = shutil.copytree(run, tmp_path / "expected")
    cut_back(run, 8)
    size = (run / "checkpoints/step-8/state.safetensors").stat().st_size
    assert (expected / "adapter.safetensors").stat().st_size < size - 2048
    command = [BUILD / "sara", *map(str, words(model, five, *more, "--resume"))]
    done = subprocess.run(["bash", "-c", f'ulimit -f {size // 1024 - 1}; exec "$@"', "bash", *command], cwd=run.parent, capture_output=True, text=True,
                          env=dict(os.environ, OMP_NUM_THREADS="1"))  # fmt: skip
    assert done.returncode == 4 and done.stdout == "", done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith("sara: error: ")]
    assert len(error) == 1 and "step-16" in error[0] and "File too large" in error[0] and "step-8 is kept" in error[0], done.stderr
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-8"]
    assert "saved what was trained up to step 16" in done.stderr
    done = sara(*words(model, five, *more, "--resume"), cwd=run.parent)
    assert done.returncode == 0, done.stderr
    assert_same_results(run, expected)


def test_a_full_disk_keeps_the_older_checkpoint(model, five, place):
    disk = place / "run"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here: " + mounted.stderr.strip())
    try:
        process = start(words(model, five, "--checkpoint-every", "1", steps=1000000), place)
        wait_for_lines(disk, 3, process)
        with open(disk / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError):
            while True:
                ballast.write(bytes(1 << 16))
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 4 and stdout == "" and "No space left on device" in stderr, stderr
        kept = checkpoints(disk)
        assert kept and not list((disk / "checkpoints").glob("*.tmp.*"))
        if "step-" in stderr.split("sara: error: ")[1]:  # else the log was the first to find the disk full
            assert f"step-{kept[-1]} is kept" in stderr
    finally:
        subprocess.run(["umount", disk], check=True)
