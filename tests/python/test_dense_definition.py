# SPDX-License-Identifier: Apache-2.0
"""Through the Python door: 200 steps of SaRA equal the dense implementation (full-size masks, SVD, torch.optim.AdamW)."""

import math

import pytest
import torch

import test_method as dense
import sara

STEPS = 200


class Network(torch.nn.Module):
    """The network of the dense implementation, as a module."""

    def __init__(self, weights):
        super().__init__()
        self.names = list(weights)
        for name, weight in weights.items():
            self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(weight.clone()))

    def forward(self, x):
        return dense.forward({name: getattr(self, name.replace(".", "_")) for name in self.names}, x)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_two_hundred_steps_equal_the_dense_definition(dtype, threads, monkeypatch):
    monkeypatch.setattr(dense, "STEPS", STEPS)
    base, (x, y) = dense.network(dtype), dense.batches(dtype)
    log, live, mask, _ = dense.dense_sara(
        base, x, y, lambda_rank=5e-3, layers="linear", reduction="mean", progressive_iter=STEPS // 2, max_grad_norm=0.5, accumulation=4
    )
    torch.set_num_threads(threads)
    network = Network(base)
    optimizer = sara.AdamW(network, dense.THRESHOLD, lr=dense.LR, rank_mode="all", progressive_iter=STEPS // 2, max_grad_norm=0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.5 * (1 + math.cos(math.pi * t / STEPS)))
    ours = {key: [] for key in log}
    for t in range(STEPS):
        total = 0.0
        for part_x, part_y in zip(x[t].chunk(4), y[t].chunk(4)):
            loss = torch.nn.functional.mse_loss(network(part_x).float(), part_y) / 4
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        ours["loss"].append(total)
        for key in ("grad_norm", "rank_loss", "active"):
            ours[key].append(getattr(optimizer.report, key))
    selected = sum(int(m.sum()) for m in mask.values())
    assert optimizer.selected == selected and 0 < log["active"][-1] < selected
    loose = dtype is torch.bfloat16  # a float32 master on the edge of two bf16 numbers falls to either side
    bounds = {"loss": (1e-2 if loose else 1e-3), "grad_norm": (5e-2 if loose else 5e-3), "rank_loss": 1e-3}
    assert abs(ours["active"][-1] - log["active"][-1]) <= (2 if loose else 0)
    for key, bound in bounds.items():
        torch.testing.assert_close(torch.tensor(ours[key]), torch.tensor(log[key]), rtol=bound, atol=1e-6)
    for name, weight in base.items():
        trained = network.get_parameter(name.replace(".", "_")).detach()
        assert torch.equal(trained[~mask[name]], weight[~mask[name]]), name
        moved, expected = trained[mask[name]].double(), live[name][mask[name]].double()
        assert (moved - expected).norm() <= (1e-2 if loose else 1e-3) * expected.norm(), name
