# SPDX-License-Identifier: Apache-2.0
"""The backward pass that sara.AdamW gives a model's own layers: the same gradients as the dense one, and none of its memory."""

import pytest
import sara
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.halved = nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.wide = nn.Conv2d(24, 24, 3, padding=2, dilation=2)
        self.grouped = nn.Conv2d(24, 24, 3, padding=1, groups=2)
        self.head = nn.Linear(24, 40)
        self.last = nn.Linear(40, 5, bias=False)

    def forward(self, x):
        x = torch.relu(self.halved(torch.relu(self.first(x))))
        x = x + self.grouped(torch.relu(self.wide(x)))
        return self.last(torch.nn.functional.gelu(self.head(x.flatten(2).transpose(1, 2))))


def trained(sparse_backward, steps=5, dtype=None):
    torch.manual_seed(3)
    net = Net()
    optimizer = sara.AdamW(net, budget="30%", lr=1e-2, sparse_backward=sparse_backward)
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(4, 3, 10, 10, generator=generator)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            loss = net(x).float().square().mean()
        loss.backward()
        gradient = optimizer.param_groups[0]["params"][0].grad.clone()
        optimizer.step()
        optimizer.zero_grad()
    return net, optimizer, gradient


def test_the_gradients_are_those_of_the_dense_backward():
    sparse_net, _, sparse = trained(True)
    dense_net, _, dense = trained(False)
    torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-6)
    for (name, ours), theirs in zip(sparse_net.named_parameters(), dense_net.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=name)


def test_under_autocast_they_are_those_of_autocast():
    _, _, sparse = trained(True, steps=1, dtype=torch.bfloat16)
    _, _, dense = trained(False, steps=1, dtype=torch.bfloat16)
    assert (sparse - dense).norm() < 2e-2 * dense.norm()


def test_only_layers_that_the_library_can_compute_are_switched_and_close_switches_them_back():
    net = Net()
    with torch.no_grad():
        net.last.weight.fill_(1.0)  # nothing of it is selected
    optimizer = sara.AdamW(net, threshold=0.02, lr=1e-3)
    switched = {name for name, module in net.named_modules() if "forward" in vars(module)}
    assert switched == {"first", "halved", "head"}
    optimizer.close()
    assert not any("forward" in vars(module) for module in net.modules())
    net(torch.zeros(1, 3, 8, 8))


def test_a_forward_that_someone_else_replaced_is_left_alone():
    net = Net()
    own = net.head.forward
    net.head.forward = lambda x: own(x) * 2
    before = net.head.forward
    optimizer = sara.AdamW(net, budget="20%", lr=1e-3)
    assert net.head.forward is before
    optimizer.close()
    assert net.head.forward is before


def test_no_dense_weight_gradient_exists_at_any_time():
    layer = nn.Linear(1024, 1024)
    optimizer = sara.AdamW(layer, budget="5%", lr=1e-3)
    seen = []
    original = torch.Tensor.backward

    with torch.profiler.profile(profile_memory=True) as profile:
        original(layer(torch.randn(8, 1024)).square().mean())
    seen = [event.cpu_memory_usage for event in profile.events() if event.name in ("aten::mm", "aten::empty", "aten::empty_strided", "mkldnn::_linear_pointwise")]
    assert seen and max(seen) < 1024 * 1024 * 4
    assert optimizer.param_groups[0]["params"][0].grad.abs().sum() > 0


@pytest.mark.parametrize("sparse_backward", [True, False])
def test_checkpointed_segments_give_their_gradients_once(sparse_backward):
    from torch.utils.checkpoint import checkpoint

    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(12, 12), nn.GELU(), nn.Linear(12, 12))
    x = torch.randn(5, 12, requires_grad=True)
    optimizer = sara.AdamW(layer, budget="40%", lr=1e-3, sparse_backward=sparse_backward)
    values = optimizer.param_groups[0]["params"][0]
    layer(x).square().sum().backward()
    plain = values.grad.clone()
    optimizer.zero_grad()
    checkpoint(layer, x, use_reentrant=False).square().sum().backward()
    torch.testing.assert_close(values.grad, plain)
