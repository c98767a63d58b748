# SPDX-License-Identifier: Apache-2.0
"""sara.AdamW is a torch.optim.Optimizer: what works with torch's works with it."""

import copy
import gc
import inspect
import pickle

import pytest
import torch

from networks import batch, loss_of, same_weights, small_network, weights_of

import sara
from sara import _core

PLAIN = dict(threshold=0.05, lr=1e-2, lambda_rank=0.0)


def trained(steps, prepare=lambda optimizer: None, between=lambda optimizer, step: None, **options):
    network = small_network()
    optimizer = sara.AdamW(network, **{**PLAIN, **options})
    prepare(optimizer)
    for step in range(steps):
        loss_of(network, step).backward()
        between(optimizer, step)
        optimizer.step()
        optimizer.zero_grad()
    return weights_of(network), optimizer


def test_one_line_trains_a_module_and_every_other_weight_stays_the_base():
    network = small_network()
    base = weights_of(network)
    masks = sara.mask(network, threshold=0.05)
    optimizer = sara.AdamW(network, threshold=0.05, lr=1e-2)
    x, y = batch(0)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.mse_loss(network(x), y)
        loss.backward()
        assert all(parameter.grad is None for parameter in network.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert optimizer.selected == sum(len(indices) for indices in masks.values())
    for name, weight in weights_of(network).items():
        frozen = torch.ones(weight.numel(), dtype=torch.bool)
        if name in masks:
            frozen[masks[name].long()] = False
        assert torch.equal(weight.view(-1)[frozen], base[name].view(-1)[frozen]), name
        assert name not in masks or not torch.equal(weight, base[name]), name


def moved_positions(selection, **more):
    network = small_network()
    base = weights_of(network)
    optimizer = sara.AdamW(network, budget=40, lr=1e-2, lambda_rank=0.0, weight_decay=0.0, selection=selection, **more)
    assert optimizer.selected == 40 and optimizer.threshold is None
    loss_of(network, 0).backward()
    optimizer.step()
    return {name: (weight != base[name]).view(-1).nonzero().view(-1).tolist() for name, weight in weights_of(network).items()}


def test_other_selections_train_what_their_name_says():
    weights = torch.cat([weight.view(-1).abs() for weight in weights_of(small_network()).values()])
    bound = weights.sort(descending=True).values[39]
    for name, positions in moved_positions("largest").items():
        assert all(weights_of(small_network())[name].view(-1)[positions].abs() >= bound), name
    drawn = sara.mask(small_network(), budget=40, selection="random", seed=1)
    assert all(set(positions) <= set(drawn.get(name, torch.empty(0)).tolist()) for name, positions in moved_positions("random", seed=1).items())
    assert moved_positions("random", seed=1) == moved_positions("random", seed=1) != moved_positions("random", seed=2)


def test_changed_trains_what_a_tuned_module_moved_most():
    tuned, name = small_network(), max(weights_of(small_network()), key=lambda name: weights_of(small_network())[name].numel())
    with torch.no_grad():
        dict(tuned.named_parameters())[name].view(-1)[10:50] += 0.5
    moved = moved_positions("changed", tuned=tuned)
    masks = sara.mask(small_network(), budget=40, selection="changed", tuned=tuned)
    assert masks.keys() == {name} and set(moved[name]) <= set(masks[name].tolist()) and len(masks[name]) == 40
    assert {key for key, positions in moved.items() if positions} == {name} and set(moved[name]) <= set(range(10, 50)) and len(moved[name]) > 20
    with pytest.raises(ValueError, match="tuned: selection changed compares with a tuned model"):
        moved_positions("changed")
    with pytest.raises(ValueError, match="tuned: it has no weight"):
        moved_positions("changed", tuned=torch.nn.Linear(2, 2))


def test_it_is_a_torch_optimizer_with_one_compact_parameter_a_group():
    network = small_network()
    optimizer = sara.AdamW(network, **PLAIN)
    assert isinstance(optimizer, torch.optim.Optimizer)
    (parameter,) = optimizer.parameters()
    assert parameter.dtype == torch.float32 and parameter.is_leaf and parameter.requires_grad
    assert parameter.shape == (optimizer.selected,) == (optimizer.active,)
    assert parameter.grad is not None and parameter.grad.shape == parameter.shape
    assert optimizer.total == sum(p.numel() for p in network.parameters())
    assert "SaRA" in inspect.getdoc(sara.AdamW) or "Alg. 1" in inspect.getdoc(sara.AdamW)


def test_every_keyword_is_an_option_of_the_library_with_its_default():
    signature = inspect.signature(sara.AdamW.__init__)
    defaults = _core.option_defaults()
    assert signature.parameters["betas"].default == (defaults.pop("adam_beta1"), defaults.pop("adam_beta2"))
    python = {name: p.default for name, p in signature.parameters.items() if name not in ("self", "model", "betas", "tuned", "sparse_backward", "fast_attention", "pool_memory")}
    assert python.keys() == defaults.keys()
    same = {"max_grad_norm": (None, 0), "progressive_iter": (0, None), "include": (None, []), "exclude": (None, [])}  # the same in other words
    for name, default in python.items():
        assert (default, defaults[name]) == same.get(name, (default, default)), name


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.02, total_steps=10),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o, [torch.optim.lr_scheduler.LinearLR(o, 0.1, 1.0, 3), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)], [3]
        ),
    ],
    ids=["cosine", "lambda", "one cycle, betas too", "warm-up then decay"],
)
def test_schedulers_set_the_rate_that_is_used_also_across_a_reselection(scheduler):
    weights, optimizer = {}, {}
    for kind in ("scheduled", "by hand"):
        network = small_network()
        optimizer = sara.AdamW(network, **PLAIN, progressive_iter=4)
        schedule = scheduler(optimizer)
        rates = []
        if kind == "by hand":
            other = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
            schedule = scheduler(other)
        for step in range(8):
            if kind == "by hand":
                optimizer.param_groups[0].update({key: other.param_groups[0][key] for key in ("lr", "betas")})
            rates.append(optimizer.param_groups[0]["lr"])
            loss_of(network, step).backward()
            optimizer.step()
            if kind == "by hand":
                other.step()
            schedule.step()
            optimizer.zero_grad()
        assert len(set(rates)) > 3
        assert optimizer.active < optimizer.selected
        weights[kind] = weights_of(network)
    assert same_weights(weights["scheduled"], weights["by hand"])


def test_clip_grad_norm_sees_the_true_norm_and_equals_max_grad_norm():
    norms = []

    def clip(optimizer, step):
        norms.append(torch.nn.utils.clip_grad_norm_(optimizer.parameters(), 0.05).item())

    clipped, _ = trained(5, between=clip)
    reported = []
    own, _ = trained(5, between=lambda optimizer, step: step and reported.append(optimizer.report.grad_norm), max_grad_norm=0.05)
    free, _ = trained(5)
    assert min(norms) > 0.05
    torch.testing.assert_close(torch.tensor(norms[:4]), torch.tensor(reported), rtol=1e-4, atol=0)
    assert all(torch.allclose(clipped[name], own[name], atol=1e-5) for name in own)
    assert not all(torch.allclose(free[name], own[name], atol=1e-5) for name in own)


def test_the_gradient_scaler_unscales_skips_overflows_and_changes_nothing_else():
    plain, _ = trained(6)
    network = small_network()
    optimizer = sara.AdamW(network, **PLAIN)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1000)
    for step in range(6):
        scaler.scale(loss_of(network, step)).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(optimizer.parameters(), 1e9)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert all(torch.allclose(plain[name], weight, atol=1e-6) for name, weight in weights_of(network).items())
    before = weights_of(network)
    (scaler.scale(loss_of(network, 6)) * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert same_weights(before, weights_of(network))
    assert scaler.get_scale() == 2.0**9
    assert optimizer.steps == 6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_half_precision_weights_train_on_float32_values_and_take_a_scaler(dtype):
    network = small_network(dtype=dtype)
    optimizer = sara.AdamW(network, threshold=0.05, lr=1e-4, lambda_rank=0)
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    for step in range(3):
        scaler.scale(loss_of(network, step, dtype)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert optimizer.parameters()[0].dtype == torch.float32
    assert optimizer.steps == 3 and not optimizer.report.skipped
    assert optimizer.held_bytes()["base"] == 2 * optimizer.selected


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_keeps_the_buffer_and_step_keeps_the_gradient(set_to_none):
    network = small_network()
    optimizer = sara.AdamW(network, threshold=0.05, lr=1e-3, rank_layers="all", rank_mode="all")
    (parameter,) = optimizer.parameters()
    loss_of(network, 0).backward()
    gradient = parameter.grad.clone()
    assert gradient.abs().max() > 0
    optimizer.step()
    assert torch.equal(parameter.grad, gradient)  # the rank term is not left in it
    assert optimizer.report.rank_loss > 0
    optimizer.zero_grad(set_to_none=set_to_none)
    assert parameter.grad is not None and parameter.grad.abs().max() == 0
    loss_of(network, 0).backward()
    assert parameter.grad.abs().max() > 0


def test_a_gradient_set_to_none_or_replaced_by_hand_is_honoured():
    network = small_network()
    optimizer = sara.AdamW(network, **PLAIN)
    (parameter,) = optimizer.parameters()
    loss_of(network, 0).backward()
    once = parameter.grad.clone()
    parameter.grad = None
    loss_of(network, 0).backward()
    assert torch.equal(parameter.grad, once)
    parameter.grad = parameter.grad * 0
    before = weights_of(network)
    optimizer.param_groups[0]["weight_decay"] = 0.0
    optimizer.step()
    assert same_weights(before, weights_of(network))


def test_accumulated_backwards_equal_one_of_the_mean():
    whole, _ = trained(0)
    networks = [small_network(), small_network()]
    optimizers = [sara.AdamW(network, **PLAIN) for network in networks]
    for step in range(3):
        x, y = batch(step)
        torch.nn.functional.mse_loss(networks[0](x), y).backward()
        for part_x, part_y in zip(x.chunk(4), y.chunk(4)):
            (torch.nn.functional.mse_loss(networks[1](part_x), part_y) / 4).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert torch.allclose(*(optimizer.parameters()[0].detach() for optimizer in optimizers), rtol=1e-3, atol=1e-5)
    assert not same_weights(whole, weights_of(networks[0]))


def test_a_closure_computes_the_loss_and_step_returns_it():
    network, optimizer = small_network(), None
    optimizer = sara.AdamW(network, **PLAIN)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(network, 0)
        loss.backward()
        return loss

    with torch.no_grad():  # as Lightning calls it
        first = optimizer.step(closure)
        for _ in range(20):
            last = optimizer.step(closure)
    assert last < first
    assert optimizer.steps == 21


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_reported():
    network = small_network()
    optimizer = sara.AdamW(network, **PLAIN)
    before = weights_of(network)
    (loss_of(network, 0) * float("nan")).backward()
    optimizer.step()
    assert optimizer.report.skipped and optimizer.report.grad_norm != optimizer.report.grad_norm
    assert same_weights(before, weights_of(network))


def test_13_groups_have_their_own_rate_and_decay_and_touch_their_own_tensors_alone():
    network = small_network()
    head = [item for item in network.named_parameters() if item[0].startswith("7.")]
    body = [item for item in network.named_parameters() if not item[0].startswith("7.")]
    optimizer = sara.AdamW([{"params": body, "lr": 0.0}, {"params": iter(head), "lr": 1e-2, "weight_decay": 0.0, "name": "head"}], threshold=0.05)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 1e-2]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-2, 0.0]
    assert optimizer.param_groups[1]["name"] == "head"
    assert sum(parameter.numel() for parameter in optimizer.parameters()) == optimizer.selected
    before = weights_of(network)
    loss_of(network, 0).backward()
    optimizer.step()
    moved = {name for name, weight in weights_of(network).items() if not torch.equal(weight, before[name])}
    assert moved and all(name.startswith("7.") for name in moved)
    assert optimizer.selected == sum(len(i) for i in sara.mask(small_network(), 0.05).values())  # selection is over all groups


def test_modules_iterables_and_groups_of_modules_select_the_same():
    whole, network = small_network(), small_network()
    by_module = sara.AdamW(whole, **PLAIN)
    by_iterable = sara.AdamW(network.named_parameters(), **PLAIN)
    by_group = sara.AdamW([{"params": small_network()}], **PLAIN)
    assert by_module.selected == by_iterable.selected == by_group.selected
    assert torch.equal(by_module.parameters()[0], by_iterable.parameters()[0])


def test_frozen_parameters_are_left_alone():
    network = small_network()
    network[0].requires_grad_(False)
    optimizer = sara.AdamW(network, **PLAIN)
    assert optimizer.total == sum(p.numel() for n, p in network.named_parameters() if not n.startswith("0."))
    optimizer.close()
    network.requires_grad_(False)
    with pytest.raises(ValueError, match="every parameter is frozen"):
        sara.AdamW(network, **PLAIN)


def test_close_takes_the_hooks_off_and_gives_the_flags_back():
    network = small_network()
    optimizer = sara.AdamW(network, **PLAIN)
    assert not network[1].weight.requires_grad  # ones: nothing below the threshold
    optimizer.close()
    assert all(parameter.requires_grad for parameter in network.parameters())
    loss_of(network, 0).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with pytest.raises(ValueError, match="is closed"):
        optimizer.step()
    again = sara.AdamW(network, **PLAIN)
    del again, optimizer
    gc.collect()
    assert all(parameter.requires_grad for parameter in network.parameters())
    sara.AdamW(network, **PLAIN)


def test_a_wrapper_that_shares_its_attributes_does_not_close_it():
    """Lightning's optimizer is made like this."""
    network = small_network()
    optimizer = sara.AdamW(network, **PLAIN)
    wrapper = object.__new__(type("Wrapped", (sara.AdamW,), {}))
    wrapper.__dict__ = dict(optimizer.__dict__)
    del wrapper
    gc.collect()
    assert not network[1].weight.requires_grad
    loss_of(network, 0).backward()
    optimizer.step()
    assert optimizer.steps == 1 and optimizer.report.grad_norm > 0


def test_34_gradient_checkpointing_gives_the_same_step():
    def run(checkpointed):
        network = small_network()
        optimizer = sara.AdamW(network, **PLAIN)
        for step in range(3):
            x, y = batch(step)
            h = torch.utils.checkpoint.checkpoint(network[:5], x, use_reentrant=False) if checkpointed else network[:5](x)
            torch.nn.functional.mse_loss(network[5:](h), y).backward()
            optimizer.step()
            optimizer.zero_grad()
        return weights_of(network)

    assert same_weights(run(True), run(False))


REFUSED = {
    "both": (dict(budget="5%"), "one fixes the other"),
    "a threshold that is not positive": (dict(threshold=0), "threshold"),
    "a threshold of everything": (dict(threshold=100), "at most 50 %"),
    "a budget above the model": (dict(threshold=None, budget=10**9), "more than there is"),
    "a rate out of the fit": (dict(lr=None), "Fix: give a learning rate"),
    "a negative rate": (dict(lr=-1.0), "lr: out of range"),
    "a word as number": (dict(eps="small"), "eps: wrong type"),
    "another decay": (dict(decay_to="half"), "decay_to: unknown value"),
    "another mode": (dict(rank_mode="two"), "rank_mode: unknown value"),
    "betas": (dict(betas=(0.9, 1.0)), "adam_beta2: out of range"),
    "a negative step": (dict(progressive_iter=-1), "progressive_iter: out of range"),
    "a bad pattern": (dict(include="("), "include"),
    "an empty scope": (dict(include="nothing has this name"), "no trainable weight"),
}


@pytest.mark.parametrize(("options", "phrase"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_options_are_value_errors_in_one_line_and_leave_the_model_alone(options, phrase):
    network = small_network()
    before = weights_of(network)
    with pytest.raises(ValueError, match=phrase) as error:
        sara.AdamW(network, **{**PLAIN, **options})
    assert isinstance(error.value, sara.InvalidArgument)
    assert same_weights(before, weights_of(network))
    assert all(parameter.requires_grad for parameter in network.parameters())
    sara.AdamW(network, **PLAIN)


def test_bad_models_are_refused():
    network = small_network()
    with pytest.raises(ValueError, match="need names"):
        sara.AdamW(network.parameters(), **PLAIN)
    with pytest.raises(ValueError, match='without "params"'):
        sara.AdamW([{"lr": 1.0}], **PLAIN)
    with pytest.raises(ValueError, match="listed twice"):
        sara.AdamW([{"params": network}, {"params": network}], **PLAIN)
    with pytest.raises(ValueError, match="for all groups together"):
        sara.AdamW([{"params": network, "threshold": 0.1}], **PLAIN)
    for wrong, phrase in (({"lambda_rank": 1.0}, "for all groups together"), ({"weigth_decay": 0.1}, "weigth_decay: no option of a group"),
                          ({"lr": -1.0}, "lr: out of range"), ({"betas": (1.0, 0.9)}, "betas: out of range")):  # fmt: skip
        with pytest.raises(ValueError, match=phrase):
            sara.AdamW([{"params": network, **wrong}], **PLAIN)
    with pytest.raises(TypeError):
        sara.AdamW(network, threshold=0.05, learning_rate=1.0)
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(sara.BadFile, match="0.weight"):
        sara.AdamW(network, **PLAIN)


def test_the_optimizer_is_bound_to_its_model():
    network = small_network()
    optimizer = sara.AdamW(network, **PLAIN)
    with pytest.raises(ValueError, match="another sara optimizer"):
        sara.AdamW(network, **PLAIN)
    with pytest.raises(ValueError, match="give every group|over all groups"):
        optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    for copying in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="state_dict"):
            copying(optimizer)


def test_a_hook_of_someone_else_is_refused_before_and_told_after():
    network = small_network()
    handle = network[0].weight.register_post_accumulate_grad_hook(lambda parameter: None)
    with pytest.raises(ValueError, match="0.weight has a post-accumulate gradient hook already"):
        sara.AdamW(network, **PLAIN)
    handle.remove()
    optimizer = sara.AdamW(network, **PLAIN)
    network[0].weight.register_post_accumulate_grad_hook(lambda parameter: None)
    with pytest.raises(ValueError, match="0.weight lost its gradient hook"):
        optimizer.step()
    assert optimizer.steps == 0


def test_a_weight_that_was_moved_converted_or_replaced_is_told():
    for change, phrase in (
        (lambda network: network.to("meta"), "moved or converted|was replaced"),
        (lambda network: network.half(), "moved or converted"),
        (lambda network: setattr(network[5], "weight", torch.nn.Parameter(torch.zeros(24, 32))), "5.weight was replaced"),
    ):
        network = small_network()
        optimizer = sara.AdamW(network, **PLAIN)
        state = optimizer.state_dict()
        change(network)
        for use in (optimizer.step, optimizer.adapter, lambda: optimizer.load_state_dict(state)):
            with pytest.raises(ValueError, match=phrase):
                use()
        assert optimizer.steps == 0


def test_the_state_is_twenty_bytes_a_weight_and_does_not_grow_at_the_reselection():
    network = small_network()
    optimizer = sara.AdamW(network, **PLAIN, progressive_iter=1)
    held = optimizer.held_bytes()
    assert held["index"] + held["state"] == 20 * optimizer.selected
    assert held["base"] == 4 * optimizer.selected
    optimizer.param_groups[0]["lr"] = 0.05
    loss_of(network, 0).backward()
    optimizer.step()
    assert optimizer.report.reselected and 0 < optimizer.active < optimizer.selected
    after = optimizer.held_bytes()
    assert after["index"] + after["state"] < held["index"] + held["state"]
    assert after["base"] == held["base"]
