# SPDX-License-Identifier: Apache-2.0
"""Torch's attention on the CPU by the library's kernels, while a sara.AdamW lives: what is taken over, what is left to torch, and that it ends."""

import warnings

import pytest
import sara
import torch
from torch.nn.functional import scaled_dot_product_attention as attention


@pytest.fixture(autouse=True)
def two_threads(one_thread):
    torch.set_num_threads(2)


@pytest.fixture
def optimizer():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = sara.AdamW(torch.nn.Linear(8, 8), budget="20%", lr=1e-3)
    yield made
    made.close()


def heads_of(dtype=torch.float32, tokens=50, keys=None, heads=4, channels=40):
    torch.manual_seed(0)
    q = torch.randn(2, tokens, heads * channels).to(dtype)
    k, v = (torch.randn(2, keys or tokens, heads * channels).to(dtype) for _ in range(2))
    return [x.view(2, -1, heads, channels).transpose(1, 2).requires_grad_() for x in (q, k, v)]


def heads_first(given):
    """The same numbers with each head's tokens next to each other."""
    return [x.detach().contiguous().requires_grad_() for x in given]


def passed(q, k, v, **options):
    """Values and gradients."""
    values = attention(q, k, v, **options)
    generator = torch.Generator().manual_seed(1)
    gradients = torch.autograd.grad(values, (q, k, v), torch.randn(values.shape, generator=generator).to(values.dtype))
    return [values.detach(), *gradients]


def exact(q, k, v, **options):
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return passed(*(x.detach().double().requires_grad_() for x in (q, k, v)), **options)


@pytest.mark.parametrize("keys", [50, 7])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 4e-6), (torch.bfloat16, 1.2e-2)])
def test_values_and_gradients_are_those_of_the_definition(optimizer, dtype, tolerance, keys):
    given = heads_of(dtype, keys=keys)
    for ours, true in zip(passed(*given), exact(*given)):
        assert ours.dtype == dtype and ours.shape == true.shape
        assert (ours.double() - true).norm() < tolerance * true.norm()


def kernels_used(run):
    with torch.profiler.profile() as profile:
        run()
    return {event.name for event in profile.events() if event.name.startswith("sara::")}


OURS = {"sara::attend", "sara::attend_backward"}


def test_it_is_taken_over_while_an_optimizer_lives_and_given_back_after_the_last():
    given = heads_of()
    assert not kernels_used(lambda: passed(*given))
    first, second = (sara.AdamW(torch.nn.Linear(8, 8), budget="20%", lr=1e-3) for _ in range(2))
    if not kernels_used(lambda: passed(*given)):
        pytest.skip("this processor has no kernel for it")
    first.close()
    assert kernels_used(lambda: passed(*given)) == OURS
    del second
    assert not kernels_used(lambda: passed(*given))


@pytest.mark.parametrize("layout", [list, heads_first], ids=["tokens first", "heads first"])
@pytest.mark.parametrize("tokens", [1, 50])
def test_everything_has_torchs_shapes_and_strides(optimizer, layout, tokens):
    given = layout(heads_of(tokens=tokens, keys=9))

    def sizes():
        with torch.no_grad():
            raw = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*given)
        return [(x.shape, x.stride()) for x in (*raw, *passed(*given))]

    ours = sizes()
    optimizer.close()
    assert ours == sizes()


def test_expanded_gradients_and_odd_heads(optimizer):
    given = heads_of(channels=7)
    attention(*given).sum().backward()
    expected = exact(*given)[0]
    assert (attention(*given).double() - expected).norm() < 4e-6 * expected.norm()
    wide = [x.detach().double().requires_grad_() for x in given]
    attention(*wide).sum().backward()
    for ours, true in zip(given, wide):
        assert (ours.grad.double() - true.grad).norm() < 1e-5 * true.grad.norm() + 1e-5


def test_a_compiled_module_goes_on(optimizer):
    given = heads_of()
    expected = passed(*given)
    compiled = torch.compile(lambda q, k, v: attention(q, k, v) * 2)
    values = compiled(*given)
    values.backward(torch.ones_like(values))
    torch.testing.assert_close(values, expected[0] * 2)


def test_an_optimizer_that_was_refused_takes_nothing_over():
    for _ in range(2):
        with pytest.raises(ValueError):
            sara.AdamW(torch.nn.Linear(8, 8), threshold=1e-30, lr=1e-3)
        assert not kernels_used(lambda: passed(*heads_of()))


def test_it_is_left_to_torch_when_asked():
    optimizer = sara.AdamW(torch.nn.Linear(8, 8), budget="20%", lr=1e-3, fast_attention=False)
    assert not kernels_used(lambda: passed(*heads_of()))
    optimizer.close()


@pytest.mark.parametrize(
    "options",
    [
        {"is_causal": True},
        {"scale": 0.5},
        {"attn_mask": torch.ones(50, 50, dtype=torch.bool).tril()},
    ],
    ids=["causal", "scale", "mask"],
)
def test_what_the_kernels_do_not_know_stays_torchs_and_right(optimizer, options):
    given = heads_of()
    assert not kernels_used(lambda: passed(*given, **options))
    for ours, true in zip(passed(*given, **options), exact(*given, **options)):
        assert (ours.double() - true).norm() < 4e-6 * true.norm()


def test_the_usual_scale_said_aloud_is_still_the_usual_one(optimizer):
    given = heads_of()
    if not kernels_used(lambda: passed(*given)):
        pytest.skip("this processor has no kernel for it")
    assert kernels_used(lambda: passed(*given, scale=40**-0.5)) == OURS


@pytest.mark.parametrize("first", ["ours", "torch"])
def test_forwards_by_one_and_backwards_by_the_other(first):
    q, k, v = heads_of()
    def make():
        return sara.AdamW(torch.nn.Linear(8, 8), budget="20%", lr=1e-3)

    if first == "ours":
        optimizer = make()
        values = attention(q, k, v)
        optimizer.close()
    else:
        values = attention(q, k, v)
        optimizer = make()
    expected = exact(q, k, v)
    generator = torch.Generator().manual_seed(1)
    for ours, true in zip(torch.autograd.grad(values, (q, k, v), torch.randn(values.shape, generator=generator)), expected[1:]):
        assert (ours.double() - true).norm() < 4e-6 * true.norm()
