# SPDX-License-Identifier: Apache-2.0
"""save, load, apply, remove, mask and nuclear_norm on modules that are nobody's diffusion model."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from networks import loss_of, same_weights, small_network, weights_of

import sara


@pytest.fixture
def trained(tmp_path):
    """A trained network and its adapter file, saved as values (bit-exact in float32)."""
    network = small_network()
    optimizer = sara.AdamW(network, threshold=0.05, lr=1e-2, progressive_iter=4)
    for step in range(8):
        loss_of(network, step).backward()
        optimizer.step()
        optimizer.zero_grad()
    optimizer.save(tmp_path / "values.safetensors", {"note": "hello", "count": 3}, as_values=True)
    optimizer.save(tmp_path / "deltas.safetensors")
    return network, optimizer, tmp_path


def test_an_adapter_applied_to_a_fresh_model_gives_the_trained_one_and_remove_the_base(trained):
    network, _, folder = trained
    fresh = small_network()
    base = weights_of(fresh)
    sara.apply(fresh, folder / "values.safetensors")
    assert same_weights(weights_of(fresh), weights_of(network))
    sara.remove(fresh)
    assert same_weights(weights_of(fresh), base)
    sara.remove(fresh)  # nothing to take off is fine
    sara.apply(fresh, str(folder / "deltas.safetensors"))
    assert all(torch.allclose(weight, network.get_parameter(name), atol=1e-8) for name, weight in weights_of(fresh).items())
    sara.remove(fresh)
    assert same_weights(weights_of(fresh), base)


def test_scales_add_up_and_zero_is_the_base(trained):
    network, _, folder = trained
    base, fresh = weights_of(small_network()), small_network()
    sara.apply(fresh, folder / "deltas.safetensors", scale=0.0)
    assert same_weights(weights_of(fresh), base)
    sara.apply(fresh, folder / "deltas.safetensors", scale=0.5)
    sara.apply(fresh, sara.load(folder / "deltas.safetensors"), scale=1.5)
    for name, weight in weights_of(fresh).items():
        torch.testing.assert_close(weight, base[name] + 2 * (network.get_parameter(name).detach() - base[name]), rtol=0, atol=1e-6)


def test_an_adapter_object_tells_what_it_holds_and_saves_again(trained):
    _, optimizer, folder = trained
    adapter = sara.load(folder / "values.safetensors")
    assert len(adapter) == optimizer.selected  # what has left is still in it
    assert optimizer.active < optimizer.selected
    assert adapter.metadata["note"] == "hello" and adapter.metadata["count"] == "3"
    assert adapter.metadata["steps"] == "8" and adapter.metadata["precision"] == "fp32" and "family" not in adapter.metadata
    masks = sara.mask(small_network(), 0.05)
    assert adapter.tensors.keys() == masks.keys()
    for name, item in adapter.tensors.items():
        assert torch.equal(item.indices, masks[name]) and item.is_value and item.data.numpy().shape == item.indices.numpy().shape
    sara.save(adapter, folder / "again.safetensors", {"note": "bye"})
    again = sara.load(folder / "again.safetensors")
    assert again.metadata["note"] == "bye" and again.tensors["5.weight"].is_value
    assert torch.equal(again.tensors["5.weight"].data, adapter.tensors["5.weight"].data)
    sara.save(optimizer, folder / "optimizer.safetensors")
    assert len(sara.load(folder / "optimizer.safetensors")) == len(adapter)


def test_an_adapter_can_be_made_by_hand():
    network = small_network()
    adapter = sara.Adapter({"7.bias": (torch.tensor([0, 3]), torch.tensor([1.0, -1.0]))})
    with pytest.raises(sara.BadFile, match="base_hash"):
        sara.apply(network, adapter)
    before = network[7].bias.detach().clone()
    sara.apply(network, adapter, scale=2, force=True)
    assert (network[7].bias.detach() - before).round(decimals=4).tolist() == [2.0, 0.0, 0.0, -2.0]
    for tensors, phrase in (
        ({"a": (torch.tensor([3, 0]), torch.zeros(2))}, "must increase"),
        ({"a": (torch.tensor([0]), torch.zeros(2))}, "of one length"),
        ({"a": (torch.tensor([0.0]), torch.zeros(1))}, "int32 or int64"),
        ({"a": (torch.tensor([0]), torch.tensor([float("nan")]))}, "NaN"),
    ):
        with pytest.raises(ValueError, match=phrase):
            sara.Adapter(tensors)


def test_metadata_added_to_a_mixed_adapter_leaves_values_values_and_deltas_deltas(trained):
    _, _, folder = trained
    deltas, values = load_file(folder / "deltas.safetensors"), load_file(folder / "values.safetensors")
    name = next(key for key in values if key.endswith(".value")).removesuffix(".value")
    mixed = {key: tensor for key, tensor in deltas.items() if key != f"{name}.delta"} | {f"{name}.value": values[f"{name}.value"]}
    with safe_open(folder / "deltas.safetensors", "pt") as file:
        save_file(mixed, folder / "mixed.safetensors", metadata=file.metadata())
    sara.save(sara.load(folder / "mixed.safetensors"), folder / "again.safetensors", {"note": "mixed"})
    again = load_file(folder / "again.safetensors")
    assert again.keys() == mixed.keys() and all(torch.equal(again[key], mixed[key]) for key in mixed)
    assert sara.load(folder / "again.safetensors").metadata["note"] == "mixed"


def test_what_an_adapter_object_shows_is_its_own(trained):
    network, optimizer, folder = trained
    adapter = optimizer.adapter()
    for tensor in adapter.tensors.values():
        tensor.indices.add_(1)
    optimizer.save(folder / "later.safetensors")
    assert all(torch.equal(a.indices, b.indices) for a, b in zip(sara.load(folder / "later.safetensors").tensors.values(), sara.load(folder / "deltas.safetensors").tensors.values()))


def test_a_base_in_a_wider_type_than_the_training_is_the_same_base_but_a_narrower_one_is_not(tmp_path):
    for trained_in, other, fits in ((torch.bfloat16, torch.float32, True), (torch.float32, torch.bfloat16, False)):
        network = small_network().to(trained_in)
        optimizer = sara.AdamW(network, threshold=0.05, lr=1e-2)
        loss_of(network, 0, trained_in).backward()
        optimizer.step()
        optimizer.save(tmp_path / "adapter.safetensors")
        fresh = small_network().to(other)
        before = weights_of(fresh)
        if fits:
            sara.apply(fresh, tmp_path / "adapter.safetensors")
            assert not same_weights(before, weights_of(fresh))
            sara.apply(fresh, tmp_path / "adapter.safetensors", scale=0.5)  # known again with an adapter on it
            sara.remove(fresh)
        else:
            with pytest.raises(sara.BadFile, match="another base"):
                sara.apply(fresh, tmp_path / "adapter.safetensors")
        assert same_weights(before, weights_of(fresh))


def test_bad_use_is_a_named_error_and_the_model_is_untouched(trained, tmp_path):
    _, _, folder = trained
    network = small_network()
    base = weights_of(network)
    good = folder / "deltas.safetensors"
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[:-100])
    for call, kind, phrase in (
        (lambda: sara.apply(network, good, scale=float("nan")), sara.InvalidArgument, "scale"),
        (lambda: sara.apply(network, cut), sara.BadFile, "cut.safetensors"),
        (lambda: sara.apply(network, tmp_path / "none.safetensors"), OSError, "none.safetensors"),
        (lambda: sara.apply(torch.nn.Linear(3, 3), good), sara.BadFile, "not in the model"),
        (lambda: sara.apply(small_network(seed=1), good), sara.BadFile, "another base"),
        (lambda: sara.apply(small_network(dtype=torch.bfloat16), good), sara.BadFile, "another base"),
        (lambda: sara.apply("unet", good), sara.InvalidArgument, "not a module"),
        (lambda: sara.save(sara.load(good), tmp_path / "no" / "folder.safetensors"), OSError, "folder.safetensors"),
    ):
        with pytest.raises(kind, match=phrase):
            call()
        assert same_weights(weights_of(network), base)
    sara.apply(small_network(seed=1), good, force=True)


def test_a_frozen_weight_that_moved_is_found_at_the_save(trained):
    network, optimizer, folder = trained
    with torch.no_grad():
        network[1].weight[0] += 1
    with pytest.raises(sara.InternalError, match="1.weight"):
        optimizer.save(folder / "bad.safetensors")
    assert not (folder / "bad.safetensors").exists()


def test_the_mask_is_what_a_direct_comparison_gives():
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        network = small_network(dtype=dtype)
        masks = sara.mask(network, threshold=0.05)
        for name, parameter in network.named_parameters():
            direct = (parameter.detach().double().abs() < 0.05).view(-1).nonzero().view(-1)
            assert torch.equal(masks.get(name, torch.empty(0)).long(), direct), name
    network = small_network()
    total = sum(parameter.numel() for parameter in network.parameters())
    by_share = sara.mask(network, budget="10%", exclude="bias")
    assert abs(sum(map(len, by_share.values())) - 0.1 * sum(p.numel() for n, p in network.named_parameters() if "bias" not in n)) <= 1
    by_count = sara.mask(network, budget=200)
    assert sum(map(len, by_count.values())) == 200 < total
    assert not any("bias" in name for name in by_share)
    with pytest.raises(ValueError, match="at most 50 %"):
        sara.mask(network, 10.0)


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (25, 25), (1, 40), (6, 4, 3, 3)])
def test_the_nuclear_norm_is_that_of_an_exact_decomposition(shape):
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(shape, generator=generator)
    value, gradient = sara.nuclear_norm(matrix)
    u, s, vh = torch.linalg.svd(matrix.flatten(1).double(), full_matrices=False)
    assert abs(value - s.sum()) <= 5e-3 * s.sum()
    assert gradient.shape == matrix.shape
    assert (gradient.flatten(1).double() - u @ vh).norm() <= 5e-3 * (u @ vh).norm()
    indices = torch.arange(0, matrix.numel(), 3)
    sparse = torch.zeros(matrix.numel())
    sparse[indices] = matrix.view(-1)[indices]
    dense_value, dense_gradient = sara.nuclear_norm(sparse.view(shape))
    value, gradient = sara.nuclear_norm((matrix.view(-1)[indices], indices, shape))
    assert value == pytest.approx(dense_value, rel=1e-5)
    torch.testing.assert_close(gradient, dense_gradient.reshape(-1)[indices], rtol=1e-4, atol=1e-5)


def test_what_is_no_matrix_is_refused():
    for bad, phrase in (
        (torch.zeros(3), "at least two dimensions"),
        ((torch.zeros(2), torch.tensor([0, 99]), (3, 3)), "lies outside"),
        ((torch.zeros(2), torch.tensor([0]), (3, 3)), "differ"),
    ):
        with pytest.raises(ValueError, match=phrase):
            sara.nuclear_norm(bad)
