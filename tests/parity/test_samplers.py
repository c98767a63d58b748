# SPDX-License-Identifier: Apache-2.0
"""Whole trajectories of every sampler, and the forward process, against diffusers' schedulers."""

import itertools

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)
from probe import ProbeError, run_probe

torch.set_num_threads(1)

STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
JUDGES = {
    "ddpm": DDPMScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_ancestral": EulerAncestralDiscreteScheduler,
    "pndm": PNDMScheduler,
    "flow_match": FlowMatchEulerDiscreteScheduler,
    "dpm++2m": DPMSolverMultistepScheduler,
}
# Those that sample a diffusion with betas, and of these the ones that take predictions of the sample and pure noise.
WITH_BETAS = [name for name in JUDGES if name != "flow_match"]
OF_SAMPLES = [name for name in WITH_BETAS if name not in ("pndm", "euler_ancestral")]
SCALE, MIX, SEED = 0.9, 0.7, 11
ZERO_SNR = {"timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
# As Stable Diffusion 1.x folders ship it. What it does not say takes the default of the sampler's class, not of PNDM's.
SHIPPED_PNDM = {
    **STABLE_DIFFUSION,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "_diffusers_version": "0.6.0",
}
OTHER_SETTINGS = [
    ("ddpm", {"variance_type": "fixed_large"}),
    ("ddpm", {"variance_type": "fixed_small_log"}),
    ("ddpm", {"clip_sample": True, "clip_sample_range": 0.5}),
    ("ddpm", {"trained_betas": torch.linspace(0.001, 0.02, 1000).tolist()}),
    ("ddim", {"clip_sample": True, "clip_sample_range": 0.5}),
    ("ddim", {"set_alpha_to_one": False}),
    ("ddim", {"set_alpha_to_one": False, "steps_offset": 1}),
    ("euler", {"use_karras_sigmas": True}),
    ("euler", {"use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 10.0}),
    ("euler", {"final_sigmas_type": "sigma_min"}),
    ("euler", {"interpolation_type": "log_linear"}),
    ("euler_ancestral", {"trained_betas": torch.linspace(0.001, 0.02, 1000).tolist()}),
    ("pndm", {"skip_prk_steps": True, "set_alpha_to_one": True}),
    ("pndm", {"set_alpha_to_one": True, "steps_offset": 1}),
    ("pndm", {"skip_prk_steps": True, "prediction_type": "v_prediction", "timestep_spacing": "linspace"}),
    ("pndm", {"trained_betas": torch.linspace(0.001, 0.02, 1000).tolist()}),
    ("dpm++2m", {"use_karras_sigmas": True}),
    ("dpm++2m", {"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"}),
    ("dpm++2m", {"final_sigmas_type": "sigma_min"}),
    ("dpm++2m", {"final_sigmas_type": "sigma_min", "lower_order_final": False}),
    ("dpm++2m", {"euler_at_final": True}),
    ("dpm++2m", {"solver_order": 1}),
    ("dpm++2m", {"solver_type": "heun"}),
    ("dpm++2m", {"solver_type": "bh2"}),
    ("dpm++2m", {"lambda_min_clipped": -2.0}),
    ("dpm++2m", {"lambda_min_clipped": -5.1, "beta_schedule": "squaredcos_cap_v2"}),
]


def all_cases():
    cases = {}

    def add(name, words, config, steps, **extra):
        cases[f"{name}-{words}-{steps}"] = {"name": name, "config": config, "steps": steps, **extra}

    for name in WITH_BETAS:
        for spacing, prediction, offset, steps in itertools.product(
            ["leading", "linspace", "trailing"], ["epsilon", "v_prediction"], [0, 1], [1, 2, 10, 50]
        ):
            config = {"timestep_spacing": spacing, "steps_offset": offset, "prediction_type": prediction}
            if name == "pndm":
                config["skip_prk_steps"] = steps < 10  # Runge-Kutta steps need four
            add(name, f"{spacing}-{prediction}-{offset}", {**STABLE_DIFFUSION, **config}, steps)
        for steps in [1, 2, 10, 50] if name != "pndm" else []:
            add(name, "zero_snr", {**STABLE_DIFFUSION, **ZERO_SNR}, steps)
        for beta_schedule, prediction in itertools.product(
            ["linear", "scaled_linear", "squaredcos_cap_v2"], ["epsilon", "sample"] if name in OF_SAMPLES else ["epsilon"]
        ):
            config = {"beta_schedule": beta_schedule, "prediction_type": prediction}
            add(name, f"defaults-{beta_schedule}-{prediction}", config, 12)
        add(name, "shipped_pndm", SHIPPED_PNDM, 10, written_class="PNDMScheduler")
    for name, setting in OTHER_SETTINGS:
        words = "-".join(f"{k}={v}" if not isinstance(v, list) else k for k, v in setting.items())
        for steps in [9, 20]:
            add(name, words, {**STABLE_DIFFUSION, **setting}, steps)
    for shift, steps in itertools.product([1.0, 3.0], [1, 2, 10, 28]):
        add("flow_match", f"shift={shift}", {"shift": shift}, steps)
    add("flow_match", "fewer timesteps", {"shift": 2.5, "num_train_timesteps": 37}, 9)
    for eta in [0.3, 1.0]:
        add("ddim", f"eta={eta}", {**STABLE_DIFFUSION, "steps_offset": 1}, 10, eta=eta)
    return cases


CASES = all_cases()


def judge(case, noise):
    cls, eta = JUDGES[case["name"]], case.get("eta", 0.0)
    if "written_class" in case:
        scheduler = cls.from_config(PNDMScheduler.from_config(dict(case["config"])).config)
    else:
        scheduler = cls.from_config(dict(case["config"]))
    scheduler.set_timesteps(case["steps"])
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # else it searches the timestep, and takes the wrong one of two equal ones
    generator = torch.Generator().manual_seed(SEED)
    sample = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    trajectory = [sample]
    extra = {"eta": eta} if cls is DDIMScheduler else {}
    for t in scheduler.timesteps:
        shown = scheduler.scale_model_input(sample, t) if hasattr(scheduler, "scale_model_input") else sample
        output = torch.tanh(shown * MIX + (float(t) / scheduler.config.num_train_timesteps - 0.5)) * SCALE
        if cls is not PNDMScheduler:
            extra["generator"] = generator
        sample = scheduler.step(output, t, sample, **extra).prev_sample
        trajectory.append(sample)
    return torch.stack(trajectory), scheduler.timesteps.double()


def walk(cases, noise):
    requests = [
        {
            "name": case["name"],
            "scheduler": {"_class_name": case.get("written_class", JUDGES[case["name"]].__name__), **case["config"]},
            "eta": case.get("eta", 0.0),
            "steps": case["steps"],
        }
        for case in cases
    ]
    out = run_probe("sampler", {"noise": noise}, {"scale": SCALE, "mix": MIX, "seed": SEED, "cases": requests})
    return [(out[f"trajectory.{k}"], out[f"timesteps.{k}"]) for k in range(len(cases))]


NOISE = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def walked():
    return dict(zip(CASES, walk(CASES.values(), NOISE)))


@pytest.mark.parametrize("name", CASES)
def test_the_whole_trajectory_agrees_with_diffusers(name, walked):
    expected, timesteps = judge(CASES[name], NOISE)
    assert torch.isfinite(expected).all(), "the judge itself is not finite here"
    trajectory, ours = walked[name]
    torch.testing.assert_close(ours, timesteps, rtol=1e-6, atol=0)
    assert trajectory.shape == expected.shape
    for step, (a, b) in enumerate(zip(trajectory, expected)):
        error = ((a - b).norm() / b.norm()).item()
        assert error < 1e-5, f"step {step} differs by {error:.2e}"


def test_trailing_spacing_visits_exactly_the_steps_asked_for():
    # diffusers' arange grows one timestep of -1 for some counts (61, 121, 206, ...); the walk before it is the same.
    for name, counts in {"ddim": [61, 121, 206, 999], "euler": [61, 500], "dpm++2m": [61, 500]}.items():
        config = {**STABLE_DIFFUSION, "timestep_spacing": "trailing"}
        ours = walk([{"name": name, "config": config, "steps": steps} for steps in counts], NOISE[:1, :1])
        for steps, (_, timesteps) in zip(counts, ours):
            scheduler = JUDGES[name].from_config(config)
            scheduler.set_timesteps(steps)
            assert len(timesteps) == steps and len(scheduler.timesteps) - steps in (0, 1)
            assert torch.equal(timesteps, scheduler.timesteps[:steps].double())


def test_half_precision_stays_within_its_rounding():
    cases = [{"name": name, "config": {**STABLE_DIFFUSION, "steps_offset": 1}, "steps": 5} for name in WITH_BETAS]
    cases.append({"name": "flow_match", "config": {"shift": 3.0}, "steps": 5})
    for case, (trajectory, _) in zip(cases, walk(cases, NOISE.bfloat16())):
        expected = judge(case, NOISE.bfloat16())[0][-1].float()
        assert trajectory.dtype == torch.bfloat16
        error = ((trajectory[-1].float() - expected).norm() / expected.norm()).item()
        assert error < 0.03, f"{case['name']}: {error}"


@pytest.mark.parametrize("config", [
    {},
    STABLE_DIFFUSION,
    {**STABLE_DIFFUSION, "prediction_type": "v_prediction"},
    {**STABLE_DIFFUSION, "prediction_type": "sample", "num_train_timesteps": 37},
    {**STABLE_DIFFUSION, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    {"beta_schedule": "squaredcos_cap_v2"},
])
def test_the_forward_process_is_bit_equal(config):
    scheduler = DDPMScheduler.from_config(config)
    generator = torch.Generator().manual_seed(5)
    latents, noise = (torch.randn(6, 4, 3, 3, generator=generator) for _ in range(2))
    last = scheduler.config.num_train_timesteps - 1
    timesteps = torch.tensor([0, 1, last // 3, last // 2, last - 1, last])
    ours = run_probe("noise_schedule", {"latents": latents, "noise": noise, "timesteps": timesteps}, config)
    assert torch.equal(ours["alphas_cumprod"], scheduler.alphas_cumprod)
    assert torch.equal(ours["noisy"], scheduler.add_noise(latents, noise, timesteps))
    assert torch.equal(ours["velocity"], scheduler.get_velocity(latents, noise, timesteps))
    kind = config.get("prediction_type", "epsilon")
    expected = {"epsilon": noise, "sample": latents, "v_prediction": ours["velocity"]}[kind]
    assert torch.equal(ours["target"], expected)


def test_wrong_requests_are_refused_in_one_line():
    def attempt(**changes):
        case = {"name": "ddim", "scheduler": dict(STABLE_DIFFUSION), "steps": 5, **changes}
        with pytest.raises(ProbeError) as error:
            run_probe("sampler", {"noise": NOISE}, {"scale": 1.0, "mix": 1.0, "seed": 0, "cases": [case]})
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "ddpm, ddim, euler, euler_ancestral, pndm, flow_match, dpm++2m" in attempt(name="heun")
    assert "got 0" in attempt(steps=0)
    assert "thresholding" in attempt(scheduler={**STABLE_DIFFUSION, "thresholding": True})
    assert "use --sampler flow_match" in attempt(scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler"})
    assert "FlowMatchHeunDiscreteScheduler" in attempt(scheduler={"_class_name": "FlowMatchHeunDiscreteScheduler"})
