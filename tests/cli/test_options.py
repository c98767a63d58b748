# SPDX-License-Identifier: Apache-2.0
"""Flags, environment, TOML and their errors."""

import json
import tomllib

import pytest


def shown(sara, *arguments, env=None):
    done = sara("config", "show", "generate", "--", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return tomllib.loads(done.stdout)


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(sara, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("steps = 11\nguidance = 2.0\nseed = 5\n")
    values = shown(sara, "--config", file, "--steps", "13", env={"SARA_STEPS": "12", "SARA_GUIDANCE": "3"})
    assert (values["steps"], values["guidance"], values["seed"], values["num_images"]) == (13, 3.0, 5, 1)


def test_the_origin_of_each_value_is_told(sara, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("\nseed = 5\n")
    done = sara("config", "show", "--origin", "generate", "--", "--config", file, "--steps", "3", env={"SARA_GUIDANCE": "3"})
    lines = dict(line.split("  # ") for line in done.stdout.splitlines())
    assert lines["steps = 3"] == "--steps"
    assert lines["guidance = 3.0"] == "SARA_GUIDANCE"
    assert lines["seed = 5"] == f"{file}:2:1"
    assert lines["num_images = 1"] == "default"


def test_names_in_snake_case_and_names_of_other_scripts_are_taken(sara):
    values = shown(sara, "--num_inference_steps", "7", "--guidance_scale=1.5", "--num_images_per_prompt", "2", "--negative_prompt", "blur")
    assert (values["steps"], values["guidance"], values["num_images"], values["negative_prompt"]) == (7, 1.5, 2, "blur")


def test_a_command_line_of_the_diffusers_script_is_understood(sara):
    done = sara(
        *"config show train -- --pretrained_model_name_or_path sd --train_data_dir data --output_dir out --max_train_steps 9".split(),
        *"--train_batch_size 2 --learning_rate 1e-4 --lr_scheduler cosine --lr_warmup_steps 3 --mixed_precision no --adam_beta1 0.8".split(),
        *"--adam_weight_decay 0.1 --adam_epsilon 1e-7 --max_grad_norm 2 --gradient_accumulation_steps 4 --seed 3 --resolution 64".split(),
        *"--center_crop --random_flip --image_interpolation_mode bicubic --snr_gamma 5 --noise_offset 0.1 --use_ema --use_8bit_adam".split(),
        *["--validation_prompts", "a cat", "a dog"],
    )
    assert done.returncode == 0, done.stderr
    values = tomllib.loads(done.stdout)
    expected = dict(
        model="sd", data="data", output="out", steps=9, batch_size=2, lr=1e-4, lr_scheduler="cosine", lr_warmup_steps=3, precision="fp32",
        adam_beta1=0.8, weight_decay=0.1, eps=1e-7, max_grad_norm=2.0, gradient_accumulation_steps=4, seed=3, resolution=64, crop="center",
        random_flip=True, resize_filter="bicubic", snr_gamma=5.0, noise_offset=0.1, ema_decay=0.9999, moments="8bit", sample_prompt=["a cat", "a dog"],
    )  # fmt: skip
    assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize("prompt", ["[a cat, a dog]", "{}", "", "--looks=like a flag", "'quoted' \"twice\"", "ünï 🐈", "-1", "a\\nb", "%%"])
def test_a_prompt_arrives_byte_for_byte(sara, prompt):
    assert shown(sara, f"--negative-prompt={prompt}", f"--prompt={prompt}")["negative_prompt"] == prompt
    assert shown(sara, f"--prompt={prompt}", "--steps", "3")["prompt"] == [prompt]


def test_switches_can_be_turned_off_again(sara, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("grid = true\n")
    assert shown(sara, "--config", file)["grid"] is True
    assert shown(sara, "--config", file, "--no-grid")["grid"] is False


@pytest.mark.parametrize(
    "words, phrases",
    [
        (["--stps", "3"], ["--stps", "--steps"]),
        (["--steps"], ["--steps", "missing"]),
        (["--steps", "many"], ["--steps", "whole number", "many"]),
        (["--steps", "3.5"], ["--steps", "whole number"]),
        (["--steps", "0"], ["--steps", "[1, 1000]", "0"]),
        (["--guidance", "nan"], ["--guidance", ">= 0"]),
        (["--sampler", "ddmi"], ["--sampler", "ddim"]),
        (["--scale_lr"], ["--scale_lr", "not supported"]),
        (["--push_to_hub"], ["--push_to_hub", "not supported"]),
        (["--revision", "main"], ["--revision", "not supported"]),
        (["word"], ["unexpected argument", "word"]),
        (["-x"], ["-x", "unknown flag"]),
    ],
)
def test_a_bad_flag_is_an_error_with_a_hint(refused, words, phrases):
    refused(2, phrases, "generate", *words)


@pytest.mark.parametrize("flag", ["--resume_from_checkpoint=run/checkpoint-500", "--enable_xformers_memory_efficient_attention", "--num_train_epochs=3"])
def test_flags_of_training_scripts_that_are_not_honoured_are_refused(refused, flag):
    refused(2, [flag.split("=")[0], "not supported", "Fix:"], "train", flag)


@pytest.mark.parametrize(
    "text, phrases",
    [
        ("steps = 3\nstps = 4\n", [":2:1", "stps", "steps"]),
        ("steps = 'three'\n", [":1:1", "steps", "wrong type", "whole number"]),
        ("steps = 0\n", [":1:1", "steps", "out of range", "[1, 1000]"]),
        ("guidance = true\n", ["guidance", "wrong type"]),
        ("steps = [1\n", [":1:", "not TOML"]),
        ("steps = 1\nsteps = 2\n", [":2:", "not TOML"]),
        ("[drawing]\nsteps = 3\n", ["drawing", "unknown key"]),
        ("negative_prompt = 1979-05-27\n", ["negative_prompt", "wrong type"]),
    ],
)
def test_a_bad_config_file_is_told_with_line_and_column(refused, tmp_path, text, phrases):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    refused(2, ["bad.toml", *phrases], "config", "check", "generate", file)
    refused(2, ["bad.toml", *phrases], "generate", "--config", file)


def test_all_problems_are_told_at_once(sara, tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("stps = 4\nguidance = -1\n")
    done = sara("generate", "--config", file, "--seed", "x", "--wrong", env={"SARA_NUM_IMAGES": "0"})
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and len(lines) == 5 and all(line.startswith("sara: error: ") for line in lines)
    for phrase in ("stps", "guidance", "--seed", "--wrong", "SARA_NUM_IMAGES"):
        assert phrase in done.stderr


def test_the_file_that_init_writes_is_good_and_complete(sara, tmp_path):
    for verb in ("train", "generate", "merge"):
        done = sara("config", "init", verb)
        file = tmp_path / f"{verb}.toml"
        file.write_text(done.stdout)
        assert sara("config", "check", verb, file).returncode == 0
        settings = [line[2:] for line in done.stdout.splitlines() if line.startswith("# ") and " = " in line and not line.endswith(" = ")]
        file.write_text("\n".join(line for line in settings if line.split(" = ")[0].isidentifier()))
        checked = sara("config", "check", verb, file)
        assert checked.returncode == 0, checked.stderr


def test_every_verb_has_help_with_an_example(sara):
    overview = sara("--help")
    verbs = [line.split()[0] for line in overview.stdout.splitlines() if line.startswith("  ") and line[2] != " "]
    assert {"train", "generate", "merge", "inspect", "config", "doctor", "pretrain", "bench"} <= set(verbs)
    for verb in verbs:
        done = sara(verb, "--help")
        assert done.returncode == 0 and f"  sara {verb}" in done.stdout and done.stderr == ""


def test_no_verb_is_help_and_a_wrong_verb_is_an_error(sara, refused):
    assert sara().stdout == sara("--help").stdout
    refused(2, ["genrate", "generate"], "genrate")


def test_the_version_is_told(sara):
    assert sara("--version").stdout.startswith("sara 0.")


def test_the_reference_page_is_what_the_program_says(sara):
    import pathlib

    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "options.md"
    assert sara("config", "reference").stdout == page.read_text(), "run: build/sara config reference > docs/options.md"


def test_doctor_tells_json(sara):
    found = json.loads(sara("doctor", "--json", "--threads", "1", env={"SARA_MODELS_DIR": "/nowhere"}).stdout)
    assert found["default_model"] == "missing: /nowhere/mini-sd"
    assert found["threads"] == 1 and found["torch"].startswith("2.")
    assert found["cuda_build"] or not found["cuda_kernels"]


def test_doctor_names_the_instructions_that_the_processor_has(sara):
    import pathlib

    flags = set(pathlib.Path("/proc/cpuinfo").read_text().split("flags", 1)[-1].split("\n", 1)[0].split())
    named = json.loads(sara("doctor", "--json").stdout)["cpu_kernels"].split(", ")
    wide = {"avx512f", "avx512vl", "avx512bw"} <= flags
    assert (named[0] == "avx512") == wide and named[0] in ("avx512", "portable")
    assert ("avx512_bf16" in named) == (wide and "avx512_bf16" in flags)
    assert ("amx_bf16" in named) <= ("amx_bf16" in flags)
