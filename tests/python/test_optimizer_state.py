# SPDX-License-Identifier: Apache-2.0
"""state_dict and load_state_dict: twenty steps equal ten, a reload and ten more, bit for bit."""

import io
import math

import pytest
import torch

from networks import loss_of, same_weights, small_network, weights_of

import sara

OPTIONS = dict(threshold=0.05, lr=1e-2, max_grad_norm=1.0)


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def run(network, optimizer, schedule, steps):
    for step in steps:
        loss_of(network, step, next(network.parameters()).dtype).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def made(dtype, progressive_iter, groups, **more):
    network = small_network(dtype=dtype)
    model = network
    if groups:
        named = list(network.named_parameters())
        model = [{"params": named[:4]}, {"params": named[4:], "lr": 3e-3, "weight_decay": 0.1}]
    optimizer = sara.AdamW(model, **OPTIONS, progressive_iter=progressive_iter, **more)
    return network, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)


@pytest.mark.parametrize("groups", [False, True], ids=["one group", "two groups"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("progressive_iter", [0, 9, 10, 11])
def test_48_49_twenty_steps_equal_ten_and_a_reload_and_ten_before_at_and_after_the_reselection(progressive_iter, dtype, groups):
    torch.manual_seed(0)
    network, optimizer, schedule = straight = made(dtype, progressive_iter, groups)
    run(network, optimizer, schedule, range(10))
    saved = through_a_file({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()})
    run(*straight, range(10, 20))

    again, reloaded, other_schedule = fresh = made(dtype, progressive_iter, groups)
    reloaded.load_state_dict(saved["optimizer"])
    other_schedule.load_state_dict(saved["schedule"])
    assert reloaded.steps == 10
    assert (reloaded.active < reloaded.selected) == (progressive_iter in (9, 10))
    run(*fresh, range(10, 20))
    assert same_weights(weights_of(network), weights_of(again))
    first, second = optimizer.state_dict(), reloaded.state_dict()
    assert first["param_groups"] == second["param_groups"]
    for index in first["state"]:
        assert all(torch.equal(first["state"][index][key], second["state"][index][key]) for key in first["state"][index])
    assert (reloaded.active < reloaded.selected) == (progressive_iter > 0)
    for (key, ours), theirs in zip(optimizer.adapter().tensors.items(), reloaded.adapter().tensors.values()):
        assert torch.equal(ours.indices, theirs.indices) and torch.equal(ours.data, theirs.data), key


@pytest.mark.parametrize("groups", [False, True], ids=["one group", "two groups"])
@pytest.mark.parametrize("progressive_iter", [0, 9])
def test_a_state_with_8_bit_moments_goes_on_bit_for_bit_through_a_file(progressive_iter, groups):
    straight, fresh = (made(torch.float32, progressive_iter, groups, moments="8bit") for _ in range(2))
    run(*straight, range(10))
    saved = through_a_file(straight[1].state_dict())
    schedule = through_a_file(straight[2].state_dict())
    first = saved["state"][0]
    assert first["exp_avg"].dtype == torch.int8 and first["exp_avg_sq"].dtype == torch.uint8
    assert first["exp_avg_scale"].numel() == first["exp_avg_sq_scale"].numel() < first["exp_avg"].numel()
    run(*straight, range(10, 20))
    fresh[1].load_state_dict(saved)
    fresh[2].load_state_dict(schedule)
    run(*fresh, range(10, 20))
    assert same_weights(weights_of(straight[0]), weights_of(fresh[0]))
    other = made(torch.float32, progressive_iter, groups)[1]
    with pytest.raises(ValueError, match="exp_avg"):
        other.load_state_dict(saved)
    with pytest.raises(ValueError, match="exp_avg_scale"):
        fresh[1].load_state_dict(through_a_file(other.state_dict()))


def test_an_earlier_state_can_be_loaded_back_past_a_reselection():
    network, optimizer, schedule = made(torch.float32, 6, False)
    run(network, optimizer, schedule, range(4))
    saved, weights = through_a_file(optimizer.state_dict()), weights_of(network)
    run(network, optimizer, schedule, range(4, 9))
    assert optimizer.active < optimizer.selected
    later = weights_of(network)
    optimizer.load_state_dict(saved)
    assert same_weights(weights, weights_of(network)) and optimizer.active == optimizer.selected
    for step in range(4, 9):
        optimizer.param_groups[0]["lr"] = 1e-2 * 0.5 * (1 + math.cos(math.pi * step / 20))
        loss_of(network, step).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(torch.allclose(weight, later[name], atol=1e-7) for name, weight in weights_of(network).items())


def damaged(state, change):
    change(state)
    return state


REFUSED = {
    "another optimizer's": (lambda s: s.pop("sara"), "not of a sara.AdamW"),
    "a moment cut short": (lambda s: s["state"][0].update(exp_avg=s["state"][0]["exp_avg"][:-1]), "exp_avg does not fit"),
    "a moment of another type": (lambda s: s["state"][0].update(exp_avg_sq=s["state"][0]["exp_avg_sq"].double()), "exp_avg_sq does not fit"),
    "another threshold": (lambda s: s["sara"].update(threshold=0.2), "another threshold"),
    "another base": (lambda s: s["sara"]["base_hashes"].update({"5.weight": "0" * 32}), "5.weight differs"),
    "a missing tensor": (lambda s: s["sara"]["base_hashes"].pop("5.weight"), "expected 5.weight"),
    "no step count": (lambda s: s["sara"].pop("steps"), "steps is missing"),
    "impossible counts": (lambda s: s["sara"].update(updates=99), "impossible step counts"),
    "another mask": (lambda s: s["sara"]["tensors"].reverse(), "another mask or other groups"),
    "no values": (lambda s: s["state"][0].pop("values"), "group 0 has no values"),
    "no rate": (lambda s: s["param_groups"][0].pop("lr"), "group 0 has no lr"),
    "another mask of the same size": (lambda s: s["sara"].update(mask_hash="0" * 32), "another mask of the same size"),
    "another number of groups": (lambda s: s["param_groups"].append(s["param_groups"][0]), "another number of groups"),
}


@pytest.mark.parametrize(("change", "phrase"), REFUSED.values(), ids=REFUSED.keys())
def test_a_state_that_does_not_fit_is_refused_by_name_and_nothing_changes(change, phrase):
    network, optimizer, schedule = made(torch.float32, 0, False)
    run(network, optimizer, schedule, range(3))
    state = damaged(through_a_file(optimizer.state_dict()), change)
    weights, rates = weights_of(network), [group["lr"] for group in optimizer.param_groups]
    values = optimizer.parameters()[0].detach().clone()
    with pytest.raises(ValueError, match=phrase):
        optimizer.load_state_dict(state)
    assert same_weights(weights, weights_of(network)) and torch.equal(values, optimizer.parameters()[0])
    assert rates == [group["lr"] for group in optimizer.param_groups] and optimizer.steps == 3


def test_a_state_of_the_same_groups_in_another_order_is_refused():
    network = small_network()
    named = list(network.named_parameters())
    optimizer = sara.AdamW([{"params": named[:4]}, {"params": named[4:]}], **OPTIONS)
    state = optimizer.state_dict()
    optimizer.close()
    with pytest.raises(ValueError, match="other groups"):
        sara.AdamW([{"params": named[4:]}, {"params": named[:4]}], **OPTIONS).load_state_dict(state)


def test_a_state_of_another_random_draw_is_refused():
    network = small_network()
    options = {"budget": 20, "selection": "random", "lr": 1e-2, "include": "5.weight"}
    optimizer = sara.AdamW(network, **options, seed=0)
    state = optimizer.state_dict()
    optimizer.close()
    other = sara.AdamW(network, **options, seed=1)
    with pytest.raises(ValueError, match="another mask of the same size"):
        other.load_state_dict(state)
    other.close()
    sara.AdamW(network, **options, seed=0).load_state_dict(state)


def test_a_state_of_a_differently_trained_base_is_refused():
    network, optimizer, schedule = made(torch.float32, 0, False)
    run(network, optimizer, schedule, range(3))
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="another base"):
        sara.AdamW(small_network(seed=1), **OPTIONS).load_state_dict(state)
