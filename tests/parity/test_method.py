# SPDX-License-Identifier: Apache-2.0
"""SaRA against a dense implementation: full-size boolean masks, torch.linalg.svd, torch.optim.AdamW on masked gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from probe import run_probe

STEPS, LR, THRESHOLD = 40, 2e-3, 0.02


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"conv.weight": (8, 3, 3, 3), "conv.bias": (8,), "norm.weight": (8,), "norm.bias": (8,), "up.weight": (24, 32),
              "up.bias": (24,), "down.weight": (4, 24), "down.bias": (4,)}
    weights = {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    weights["norm.weight"] += 1
    return {name: weight.to(dtype) for name, weight in weights.items()}


def batches(dtype, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(STEPS, 4, 3, 8, 8, generator=generator).to(dtype)
    return x, torch.randn(STEPS, 4, 4, generator=generator)


def forward(w, x):
    x = F.conv2d(x, w["conv.weight"], w["conv.bias"], padding=1)
    x = F.avg_pool2d(F.silu(F.group_norm(x, 4, w["norm.weight"], w["norm.bias"])), 4).flatten(1)
    return F.linear(F.silu(F.linear(x, w["up.weight"], w["up.bias"])), w["down.weight"], w["down.bias"])


def nuclear_subgradient(matrix):
    u, s, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    kept = s > 1e-3 * s[0]
    return (u[:, kept] @ vh[kept]).float(), s[kept].sum().item()


def dense_sara(base, x, y, lambda_rank, layers, reduction, progressive_iter, max_grad_norm, weight_decay=1e-2, decay_to="zero", accumulation=1):
    masters = {name: weight.float().clone().requires_grad_() for name, weight in base.items()}
    live = {name: weight.clone() for name, weight in base.items()}
    mask = {name: weight.double().abs() < THRESHOLD for name, weight in base.items()}
    active = {name: m.clone() for name, m in mask.items()}
    decay = 0 if decay_to == "base" else weight_decay
    optimizer = torch.optim.AdamW(masters.values(), lr=LR, weight_decay=decay, foreach=False)
    log = {"loss": [], "grad_norm": [], "rank_loss": [], "active": []}
    for t in range(1, STEPS + 1):
        leaves = {name: weight.clone().requires_grad_() for name, weight in live.items()}
        total = 0.0
        gradient = {name: torch.zeros_like(weight) for name, weight in masters.items()}
        for part_x, part_y in zip(x[t - 1].chunk(accumulation), y[t - 1].chunk(accumulation)):
            loss = F.mse_loss(forward(leaves, part_x).float(), part_y) / accumulation
            for name, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values()))):
                gradient[name] += g.float() * active[name]
            total += loss.item()
        matrices = [n for n in base if active[n].any() and (base[n].dim() == 2 or (layers == "all" and base[n].dim() > 2))]
        rank_loss = 0.0
        for name in matrices:
            factor = lambda_rank / (len(matrices) if reduction == "mean" else 1)
            matrix = (masters[name].detach() * active[name]).flatten(1)
            uv, value = nuclear_subgradient(matrix)
            gradient[name] += factor * uv.view_as(gradient[name]) * active[name]
            rank_loss += factor * value
        norm = torch.cat([g.double().flatten() for g in gradient.values()]).norm().item()
        scale = min(1.0, max_grad_norm / norm) if max_grad_norm else 1.0
        for group in optimizer.param_groups:
            group["lr"] = LR * 0.5 * (1 + math.cos(math.pi * (t - 1) / STEPS))
        before = {name: master.detach().clone() for name, master in masters.items()}
        if decay_to == "base":
            for name, master in masters.items():
                master.data -= optimizer.param_groups[0]["lr"] * weight_decay * (master.data - base[name].float())
        for name, master in masters.items():
            master.grad = gradient[name] * scale
        optimizer.step()
        for name, master in masters.items():  # dense AdamW moves and decays the frozen ones too: put them back
            master.data = torch.where(active[name], master.data, before[name])
            live[name] = torch.where(mask[name], master.data.to(base[name].dtype), base[name])
        if t == progressive_iter:
            active = {name: m & (masters[name].detach().double().abs() < THRESHOLD) for name, m in active.items()}
        for key, value in (("loss", total), ("grad_norm", norm), ("rank_loss", rank_loss), ("active", sum(int(m.sum()) for m in active.values()))):
            log[key].append(value)
    return log, live, mask, active


CASES = {
    "mean over linear layers": dict(lambda_rank=5e-3, layers="linear", reduction="mean", progressive_iter=20, max_grad_norm=1.0),
    "sum over all layers": dict(lambda_rank=2e-2, layers="all", reduction="sum", progressive_iter=20, max_grad_norm=0.3),
    "no rank loss, no reselection": dict(lambda_rank=0.0, layers="linear", reduction="mean", progressive_iter=0, max_grad_norm=0.0),
    "decay to base, accumulation": dict(lambda_rank=5e-3, layers="linear", reduction="mean", progressive_iter=20, max_grad_norm=1.0,
                                        weight_decay=0.5, decay_to="base", accumulation=4),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_sara_equals_its_dense_definition_over_forty_steps(dtype, case):
    base, (x, y) = network(dtype), batches(dtype)
    log, live, mask, active = dense_sara(base, x, y, **case)
    options = {"threshold": THRESHOLD, "lambda_rank": case["lambda_rank"], "rank_mode": "all", "rank_layers": case["layers"],
               "rank_reduction": case["reduction"], "progressive_iter": case["progressive_iter"], "max_grad_norm": case["max_grad_norm"],
               "weight_decay": case.get("weight_decay", 1e-2), "decay_to": case.get("decay_to", "zero")}
    out = run_probe("method", {**{f"w.{n}": w for n, w in base.items()}, "x": x, "y": y},
                    {"method": "sara", "lr": LR, "options": options, "accumulation": case.get("accumulation", 1)})
    selected = sum(int(m.sum()) for m in mask.values())
    assert log["loss"][-1] < log["loss"][0] or dtype is torch.bfloat16
    if case["progressive_iter"]:
        assert 0 < log["active"][-1] < selected  # the case does reselect
    assert out["active"].tolist() == log["active"]
    for key, bound in (("loss", 1e-4), ("grad_norm", 1e-3), ("rank_loss", 1e-4)):
        torch.testing.assert_close(out[key], torch.tensor(log[key], dtype=torch.float64), rtol=bound, atol=1e-9)
    for name, weight in base.items():
        trained = out[f"w.{name}"]
        assert torch.equal(trained[~mask[name]], weight[~mask[name]]), name  # frozen: bit-identical
        moved, expected = trained[mask[name]].double(), live[name][mask[name]].double()
        if dtype is torch.float32:
            assert (moved - expected).norm() <= 1e-4 * expected.norm(), name
        else:  # an fp32 master on the edge of two bf16 numbers may fall to either side
            assert (moved - expected).norm() <= 1e-3 * expected.norm(), name


def test_one_random_matrix_a_step_draws_from_the_same_loss():
    """With a single matrix in the scope, one matrix a step is all of it."""
    base, (x, y) = network(torch.float32), batches(torch.float32)
    options = {"threshold": THRESHOLD, "lambda_rank": 2e-2, "exclude": ["down"]}
    run = lambda mode: run_probe("method", {**{f"w.{n}": w for n, w in base.items()}, "x": x, "y": y},
                                 {"method": "sara", "lr": LR, "options": {**options, "rank_mode": mode}})
    one, every = run("one"), run("all")
    assert all(torch.equal(one[key], every[key]) for key in one)
    assert (one["rank_loss"] > 0).all()


def test_two_threads_give_the_same_bits_as_two_threads():
    base, (x, y) = network(torch.float32), batches(torch.float32)
    run = lambda: run_probe("method", {**{f"w.{n}": w for n, w in base.items()}, "x": x, "y": y},
                            {"method": "sara", "lr": LR, "threads": 2, "options": {"budget": "10%", "seed": 3}})
    first, second = run(), run()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_full_training_equals_torch_adamw():
    base, (x, y) = network(torch.float32), batches(torch.float32)
    weights = {name: weight.clone().requires_grad_() for name, weight in base.items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=LR)
    losses = []
    for t in range(1, STEPS + 1):
        loss = F.mse_loss(forward(weights, x[t - 1]), y[t - 1])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.param_groups[0]["lr"] = LR * 0.5 * (1 + math.cos(math.pi * (t - 1) / STEPS))
        optimizer.step()
        losses.append(loss.item())
    out = run_probe("method", {**{f"w.{n}": w for n, w in base.items()}, "x": x, "y": y}, {"method": "full", "lr": LR, "options": {}})
    torch.testing.assert_close(out["loss"], torch.tensor(losses, dtype=torch.float64), rtol=1e-4, atol=1e-9)
    for name, weight in weights.items():
        assert (out[f"w.{name}"] - weight.detach()).norm() <= 1e-4 * weight.detach().norm(), name
