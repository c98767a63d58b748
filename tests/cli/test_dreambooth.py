# SPDX-License-Identifier: Apache-2.0
"""Subject-driven training: pictures of a subject beside pictures of its class."""

import json
import shutil

import launch
import numpy as np
import pytest
import torch
from noise import noise_picture
from PIL import Image
from probe import BUILD, run_probe
from safetensors.torch import load_file

PROMPT, CLASS_PROMPT = "a photo of sks dog", "a photo of a dog"
USUAL = ["--budget", "20%", "--lr", "1e-2", "--seed", "3", "--batch-size", "2", "--steps", "4", "--caption", PROMPT, "--sample-steps", "2"]


def write_pictures(folder, count, seed):
    folder.mkdir()
    for index in range(count):
        noise_picture((16, 16), 60, seed + index).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("subject") / "sks", 3, 0)


@pytest.fixture(scope="module")
def dogs(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("class") / "dogs", 5, 100)


@pytest.fixture(scope="module")
def run(sara, model, subject, dogs, tmp_path_factory):
    """run("--flag", ...) -> (finished process, output folder); five class pictures unless said otherwise."""

    def call(*more, code=0, output=None, usual=USUAL, classes=dogs):
        output = output or tmp_path_factory.mktemp("runs") / "run"
        own = ["--prior-preservation", "--class-data", classes, "--class-prompt", CLASS_PROMPT, "--num-class-images", "5"] if classes else []
        done = sara("train", "--model", model, "--data", subject, "--output", output, *usual, *own, *more)
        assert done.returncode == code, done.stderr
        return done, output

    return call


@pytest.fixture(scope="module")
def usual(run):
    return run()[1]


def lines(output):
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def tensors_equal(one, other):
    one, other = load_file(one / "adapter.safetensors"), load_file(other / "adapter.safetensors")
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def alike(path, picture):
    """But for rounding, which hangs on how many are drawn at a time."""
    return np.abs(np.array(Image.open(path)).astype(int) - picture.astype(int)).max() <= 1


def pixels_of(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).float() / 127.5 - 1


@pytest.mark.parametrize("gamma", [None, 0.05])
def test_a_step_is_that_of_a_pytorch_loop_on_diffusers_networks(gamma, sara, model, tmp_path):
    from diffusers import DDPMScheduler, StableDiffusionPipeline

    weight, seed = 0.7, 3
    own, of_class = write_pictures(tmp_path / "own", 1, 7), write_pictures(tmp_path / "class", 1, 8)
    done = sara(
        "train", "--model", model, "--data", own, "--output", tmp_path / "run", "--method", "full", "--lr", "1e-3", "--steps", "1", "--batch-size", "1",
        "--seed", seed, "--caption", PROMPT, "--prior-preservation", "--class-data", of_class, "--class-prompt", CLASS_PROMPT, "--num-class-images", "1",
        "--prior-loss-weight", weight, *(["--snr-gamma", gamma] if gamma else []),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (ours,) = lines(tmp_path / "run")

    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    key = run_probe("stream_key", config=dict(seed=seed, stream="noise", a=1, b=0))["key"].item() % 2**64
    generator = torch.Generator().manual_seed(key)
    times, noise, posterior = torch.randint(0, 1000, (2,), generator=generator), torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 4, 8, 8, generator=generator)
    with torch.no_grad():
        encoded = pipe.vae.encode(torch.stack([pixels_of(own / "0.png"), pixels_of(of_class / "0.png")])).latent_dist
        latents = (encoded.mean + encoded.std * posterior) * pipe.vae.config.scaling_factor
        ids = pipe.tokenizer([PROMPT, CLASS_PROMPT], padding="max_length", truncation=True, max_length=20, return_tensors="pt").input_ids
        texts = pipe.text_encoder(ids)[0]
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    answer = pipe.unet(scheduler.add_noise(latents, noise, times), times, texts).sample
    alpha = scheduler.alphas_cumprod[times]
    snr = alpha / (1 - alpha)
    factors = torch.minimum(snr, torch.tensor(gamma)) / snr if gamma else torch.ones(2)
    own_loss, class_loss = factors * (answer - noise).square().mean((1, 2, 3))
    loss = own_loss + weight * class_loss
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in pipe.unet.parameters() if p.grad is not None]).norm()
    assert ours["loss"] == pytest.approx(loss.item(), rel=1e-4) and ours["class_loss"] == pytest.approx(class_loss.item(), rel=1e-4)
    assert ours["grad_norm"] == pytest.approx(norm.item(), rel=1e-3)
    assert abs(own_loss.item() - class_loss.item()) > 1e-3 * loss.item()  # the halves can be told apart


def test_missing_class_pictures_are_drawn_by_the_base_and_drawn_once(run, sara, model, tmp_path):
    folder = tmp_path / "new" / "dogs"
    done, output = run("--seed", "0", classes=folder)
    drawn = sorted(folder.iterdir())
    assert len(drawn) == 5 and "class pictures: " in done.stderr and "drew 5 class pictures" in done.stderr
    words = ["--model", model, "--prompt", CLASS_PROMPT, "--steps", "2", "--num-images", "7"]
    assert sara("generate", *words, "--output", tmp_path / "expected").returncode == 0
    expected = [np.array(Image.open(path)) for path in sorted((tmp_path / "expected").glob("0*.png"))]
    assert all(alike(path, picture) for path, picture in zip(drawn, expected))
    before = {path: path.stat().st_mtime_ns for path in drawn}
    done, again = run("--seed", "0", classes=folder)
    assert "drew" not in done.stderr and tensors_equal(output, again)
    done, _ = run("--seed", "0", "--num-class-images", "7", classes=folder)  # the later flag counts
    assert "drew 2 class pictures" in done.stderr
    later = sorted(folder.iterdir())
    assert len(later) == 7 and before == {path: path.stat().st_mtime_ns for path in drawn}
    assert all(alike(path, picture) for path, picture in zip(later, expected))


def test_every_flag_changes_what_is_trained(run, usual, dogs):
    assert not tensors_equal(usual, run(classes=None)[1])
    for words in (["--class-prompt", "a dog"], ["--num-class-images", "2"], ["--prior-loss-weight", "3"]):
        assert not tensors_equal(usual, run(*words)[1]), words
    assert tensors_equal(usual, run("--prior-loss-weight", "1")[1])
    assert tensors_equal(usual, run()[1])


def test_flags_of_diffusers_script_mean_the_same(run, usual, sara, model, subject, dogs, tmp_path):
    done = sara(
        "train", "--pretrained_model_name_or_path", model, "--instance_data_dir", subject, "--instance_prompt", PROMPT, "--class_data_dir", dogs,
        "--class_prompt", CLASS_PROMPT, "--with_prior_preservation", "--prior_loss_weight=1.0", "--num_class_images=5", "--output_dir", tmp_path / "run",
        "--learning_rate", "1e-2", "--train_batch_size", "2", "--max_train_steps", "4", "--seed", "3", "--budget", "20%",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert tensors_equal(usual, tmp_path / "run")


def test_a_run_keeps_its_records_and_encodes_each_prompt_once(run, subject, dogs, tmp_path):
    done, output = run("--cache", tmp_path / "cache", "--json")
    summary = json.loads(done.stdout)
    assert (summary["images"], summary["class_images"], summary["prior_loss_weight"]) == (3, 5, 1.0)
    for step in lines(output):
        assert 0 < step["class_loss"] < step["loss"]
    page = (output / "report.html").read_text()
    assert "class_images" in page and f"class_prompt = &quot;{CLASS_PROMPT}&quot;" in page
    config = (output / "config.toml").read_text()
    assert "prior_preservation = true" in config and f'class_data = "{dogs}"' in config and f'caption = "{PROMPT}"' in config
    (texts,), (latents,) = (list((tmp_path / "cache").glob(f"{kind}-*.safetensors")) for kind in ("text", "latents"))
    assert load_file(texts)["hidden"].shape[0] == 3  # the empty one, the subject's, the class's
    assert load_file(latents)["mean"].shape[0] == 8
    written = {path: path.stat().st_mtime_ns for path in (texts, latents)}
    _, again = run("--cache", tmp_path / "cache")
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} and tensors_equal(output, again)


def test_a_resumed_run_is_the_same_and_another_class_is_refused(run, usual, sara, dogs, tmp_path):
    folder = shutil.copytree(dogs, tmp_path / "dogs")
    run("--checkpoint-every", "2", output=tmp_path / "cut", classes=folder)
    for name in ("summary.json", "adapter.safetensors"):
        (tmp_path / "cut" / name).unlink()
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-4")
    resume = ["train", "--config", tmp_path / "cut" / "config.toml", "--resume"]
    done = sara(*resume)
    assert done.returncode == 0, done.stderr
    assert tensors_equal(usual, tmp_path / "cut")
    noise_picture((16, 16), 60, 999).save(folder / "0.png")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-4")
    (tmp_path / "cut" / "summary.json").unlink()
    done = sara(*resume)
    assert done.returncode == 2 and "pictures, captions or their encoders" in done.stderr and "--allow-change" in done.stderr


def test_the_adapter_draws(usual, sara, model, tmp_path):
    pictures = []
    for name, words in {"plain": [], "tuned": ["--adapter", usual / "adapter.safetensors"], "off": ["--adapter", f"{usual / 'adapter.safetensors'}:0"]}.items():
        done = sara("generate", "--model", model, "--prompt", "a sks dog on the moon", "--steps", "2", "--output", tmp_path / name, *words)
        assert done.returncode == 0, done.stderr
        pictures.append(np.array(Image.open(tmp_path / name / "0000.png")))
    assert (pictures[1] != pictures[0]).any() and (pictures[2] == pictures[0]).all()


def test_class_pictures_may_be_more_than_are_asked_for(run, dogs, usual, tmp_path):
    done, output = run("--num-class-images", "2")
    assert "2 of 5 class pictures are used" in done.stderr
    few = write_pictures(tmp_path / "few", 2, 100)
    assert tensors_equal(output, run("--num-class-images", "2", classes=few)[1])


ON = ["--prior-preservation"]
PROMPTED = ["--class-prompt", CLASS_PROMPT]


@pytest.mark.parametrize(
    "code, phrases, words",
    [
        (2, ["no folder for the class's pictures", "--class-data"], [*ON, *PROMPTED]),
        (2, ["no prompt for the class's pictures", "--class-prompt"], [*ON, "--class-data", "{dogs}"]),
        (2, ["no prompt for the class's pictures"], [*ON, "--class-data", "{dogs}", "--class-prompt", " "]),
        (2, ["class_data: no effect without prior_preservation"], ["--class-data", "{dogs}"]),
        (2, ["class_prompt: no effect without prior_preservation"], PROMPTED),
        (2, ["num_class_images: no effect without prior_preservation"], ["--num-class-images", "3"]),
        (2, ["prior_loss_weight: no effect without prior_preservation"], ["--prior-loss-weight", "0.5"]),
        (2, ["--prior-loss-weight: out of range", "> 0"], [*ON, *PROMPTED, "--class-data", "{dogs}", "--prior-loss-weight", "-1"]),
        (2, ["--num-class-images: out of range"], [*ON, *PROMPTED, "--class-data", "{dogs}", "--num-class-images", "0"]),
        (2, ["class_data: lies in the folder of the subject's pictures"], [*ON, *PROMPTED, "--class-data", "{subject}"]),
        (2, ["class_data: lies in the folder of the subject's pictures"], [*ON, *PROMPTED, "--class-data", "{subject}/class"]),
        (4, ["Not a directory"], [*ON, *PROMPTED, "--class-data", "{file}"]),
        (4, ["cannot make the folder of the class's pictures"], [*ON, *PROMPTED, "--class-data", "{file}/class"]),
        (3, ["cannot be used", "0.png"], [*ON, *PROMPTED, "--class-data", "{broken}"]),
        (2, ["class pictures are drawn four at a time"], ["--sample_batch_size", "2"]),
    ],
)
def test_what_does_not_fit_is_refused(code, phrases, words, refused, model, subject, dogs, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    places = dict(dogs=dogs, subject=subject, file=tmp_path / "file", broken=tmp_path / "broken")
    refused(code, phrases, "train", "--model", model, "--data", subject, "--output", tmp_path / "run", *USUAL, *(word.format(**places) for word in words))
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_clips_have_no_class(refused, tmp_path):
    from tiny_motion import write_tiny_animatediff

    write_tiny_animatediff(tmp_path)
    words = [*ON, *PROMPTED, "--class-data", tmp_path / "dogs"]
    refused(2, "not for models that make clips", "train", "--model", tmp_path / "model", "--data", tmp_path / "clips", "--output", tmp_path / "run", *words)


def test_several_processes_have_no_class(model, subject, dogs, tmp_path):
    words = [*ON, *PROMPTED, "--class-data", dogs, "--output", tmp_path / "run"]
    for code, _, stderr in launch.finished(launch.start(2, [BUILD / "sara", "train", "--model", model, "--data", subject, *USUAL, *words])):
        assert code == 2 and "prior_preservation: not in several processes. Fix: " in stderr
