# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from diffusers import UNet2DConditionModel

from bench.against.model import PUBLISHED
from bench.against.peers import PEERS, Task, lora, lora_all, lora_attention, shira, train
from bench.against.saved_tensors import saved_bytes
from bench.against.unet import build_unet, denoising_loss, random_batch
from bench.against.worker import timed_step

BUDGET = 3000


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):
        return UNet2DConditionModel(**PUBLISHED["random:sd15"])


def trained(name, tiny, precision="fp32", **more):
    unet = build_unet(tiny, precision)
    return unet, train(name, unet, Task(BUDGET, "default", precision, **more))


def test_stable_diffusion_1_5_has_its_weights_and_ranks(published):
    assert sum(p.numel() for p in published.parameters()) == 859_520_964
    found = {}
    for module in (lora_attention, lora_all, shira):
        targets = module.targets_of(published)
        rank = lora.matched_rank(published, targets, 50_000_000)
        found[module.__name__.split(".")[-1]] = (len(targets), rank, rank * lora.weights_a_rank(published, targets))
    assert found == {"lora_attention": (128, 251, 50_023_296), "lora_all": (282, 47, 49_736_152), "shira": (184, 117, 49_900_032)}


@pytest.mark.parametrize("name", [name for name in PEERS if name != "sara-python"])
def test_every_peer_steps_in_every_precision_it_names(name, tiny):
    for precision in PEERS[name].precisions:
        unet, training = trained(name, tiny, precision)
        before = [p.detach().clone() for p in unet.parameters()]
        for _ in range(2):
            told = timed_step(unet, training, random_batch(unet, 8, 2))
        moved = sum(int((p.detach() != old).sum()) for p, old in zip(unet.parameters(), before))
        assert told["step_s"] == pytest.approx(told["forward_s"] + told["backward_s"] + told["optimizer_s"]) and told["peak_rss_gb"] > 0.05
        assert 0.9 * training.trained <= moved <= training.trained
        assert all(p.grad is None for p in unet.parameters())


def test_the_base_asks_for_the_gradient_of_the_latents_alone(tiny):
    unet, training = trained("base", tiny)
    batch = random_batch(unet, 8, 1)
    timed_step(unet, training, batch)
    assert batch.latents.grad is not None and batch.latents.grad.abs().sum() > 0
    assert training.trained == 0 and all(p.grad is None for p in unet.parameters())


def test_lora_trains_exactly_its_adapters_in_float32(tiny):
    unet, training = trained("lora-all", tiny, "bf16", rank=3)
    adapters = [p for p in unet.parameters() if p.requires_grad]
    assert training.rank == 3 and training.trained == sum(p.numel() for p in adapters)
    assert {p.dtype for p in adapters} == {torch.float32} and {p.dtype for p in unet.parameters() if not p.requires_grad} == {torch.bfloat16}
    fresh = build_unet(tiny, "fp32")
    assert training.trained == 3 * lora.weights_a_rank(fresh, lora_all.targets_of(fresh))


def test_dense_selective_moves_only_the_smallest_weights(tiny):
    unet = build_unet(tiny, "fp32")
    before = [p.detach().clone() for p in unet.parameters()]
    training = train("dense-selective", unet, Task(BUDGET, "default", "fp32"))
    timed_step(unet, training, random_batch(unet, 8, 1))
    moved = torch.cat([(p.detach() != old).flatten() for p, old in zip(unet.parameters(), before)])
    size = torch.cat([old.abs().flatten() for old in before])
    assert training.trained == pytest.approx(BUDGET, rel=0.1)
    assert moved.sum() <= training.trained and moved.sum() > 0.9 * training.trained
    assert size[moved].max() <= size.sort().values[training.trained - 1]


def test_saved_tensors_count_each_storage_once_and_no_parameter():
    linear = torch.nn.Linear(8, 16, bias=False)
    x = torch.randn(4, 8)

    def run():
        y = linear(x)  # keeps x: 4 x 8 floats
        return (y.exp() * y.exp().detach()).sum()  # keeps both exponentials: 2 x 4 x 16 floats; y's exp keeps the first, the same storage

    assert saved_bytes(run, linear.parameters()) == {"activation_bytes": 4 * (32 + 2 * 64), "weight_copy_bytes": 0}


def test_the_copies_of_weights_that_autocast_keeps_are_counted_apart(tiny):
    linear = torch.nn.Linear(8, 16, bias=False)
    x = torch.randn(4, 8, requires_grad=True)

    def run():
        with torch.autocast("cpu", torch.bfloat16):
            return linear(x)  # keeps x and the weight, both in bf16

    assert saved_bytes(run, linear.parameters()) == {"activation_bytes": 2 * 32, "weight_copy_bytes": 2 * 128}
    unet = build_unet(tiny, "fp32")
    batch = random_batch(unet, 8, 2)
    full, half = (saved_bytes(lambda: denoising_loss(unet, batch, autocast), list(unet.parameters())) for autocast in (False, True))
    matrices = sum(p.numel() for p in unet.parameters() if p.dim() > 1)
    assert full["weight_copy_bytes"] == 0 and 0.9 * 2 * matrices < half["weight_copy_bytes"] <= 2 * matrices  # all but those whose input asks for no gradient
    assert half["activation_bytes"] < full["activation_bytes"]
