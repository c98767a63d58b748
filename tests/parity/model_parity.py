# SPDX-License-Identifier: Apache-2.0
"""What the parity tests of the models share: random weights, and "within 1e-4 relative" for outputs and gradients."""

import torch

torch.set_num_threads(1)

TOLERANCE = 1e-4


def randomize(model, seed, scale=1.0):
    """Random weights for every parameter, norms included: a norm left at weight 1, bias 0 would hide a swap.

    With a small scale the variances in front of the norms come down to their eps, so that a wrong eps shows.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(generator=generator)
            if "norm" in name:
                parameter.mul_(0.2).add_(1 if name.endswith("weight") else 0)
            elif parameter.dim() > 1:
                parameter.mul_(scale * (parameter.numel() / parameter.shape[0]) ** -0.5)
            else:
                parameter.mul_(0.2 * scale)
    return model


def assert_close(got, expected, tolerance=TOLERANCE):
    got, expected = got.double(), expected.detach().double()
    assert got.shape == expected.shape
    assert torch.isfinite(got).all()
    error = (got - expected).abs().max() / expected.abs().max()
    assert error < tolerance, f"relative error {error:.2e}"


def assert_gradients_close(out, model, prefix=""):
    """Every parameter that has a gradient in PyTorch has the same one here, and no other has one."""
    expected = {prefix + name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    got = {name.removeprefix("grad."): value for name, value in out.items() if name.startswith("grad.")}
    assert set(got) == set(expected)
    # A gradient that is zero on paper (the bias of keys) is rounding noise in both: it has no relative error of its own.
    whole = torch.stack([g.norm() for g in expected.values()]).norm()
    for name, gradient in expected.items():
        error = (got[name].double() - gradient.double()).norm()
        assert error <= TOLERANCE * gradient.double().norm() + 1e-7 * whole, f"{name}: {error / gradient.norm():.2e}"
