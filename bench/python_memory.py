# SPDX-License-Identifier: Apache-2.0
"""How much memory does a training step of diffusers' Stable Diffusion 1.5 UNet take: sara.AdamW against dense selective tuning?

    PYTHONPATH=build/python python bench/python_memory.py [--small] [--peer gathered|dense]

Random weights, 256 px, batch 1, fp32, 50 M selected, two steps; each side in its own process. The peers keep every dense gradient of a
backward pass and one boolean mask a tensor; "gathered" then trains compact values by torch.optim.AdamW (the lean way to do it
without hooks), "dense" runs torch.optim.AdamW over whole tensors with masked gradients. Prints one JSON object a side: peak
resident memory, gradient bytes alive after backward, seconds of the last step.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

SIZES = {"full": dict(blocks=(320, 640, 1280, 1280), latents=32, budget=50_000_000, steps=2), "small": dict(blocks=(192, 384), latents=8, budget=2_000_000, steps=1)}


def unet_of(blocks):
    from diffusers import UNet2DConditionModel

    deep = len(blocks) - 1
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=64, block_out_channels=blocks, layers_per_block=2, cross_attention_dim=768, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D",) * deep + ("DownBlock2D",), up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * deep,
    ).train()  # fmt: skip


class Ours:
    def __init__(self, unet, budget):
        import sara

        self.optimizer = sara.AdamW(unet, budget=budget, lr=1e-3, lambda_rank=0)

    def step(self):
        self.optimizer.step()
        self.optimizer.zero_grad()

    def held(self):
        return {"selected": self.optimizer.selected, **{f"{key}_bytes": size for key, size in self.optimizer.held_bytes().items()}}


class Gathered:
    def __init__(self, unet, budget):
        self.parameters = list(unet.parameters())
        total = sum(p.numel() for p in self.parameters)
        sample = torch.cat([p.detach().flatten()[:: max(1, total // 2_000_000)].abs() for p in self.parameters])
        threshold = sample.quantile(budget / total)
        self.masks = [p.detach().abs() < threshold for p in self.parameters]
        self.values = [torch.nn.Parameter(p.detach()[m]) for p, m in zip(self.parameters, self.masks)]
        self.optimizer = torch.optim.AdamW(self.values, lr=1e-3)

    def step(self):
        with torch.no_grad():
            for value, parameter, mask in zip(self.values, self.parameters, self.masks):
                value.grad, parameter.grad = parameter.grad[mask], None
            self.optimizer.step()
            for value, parameter, mask in zip(self.values, self.parameters, self.masks):
                parameter[mask] = value
        self.optimizer.zero_grad()

    def held(self):
        return {"selected": sum(value.numel() for value in self.values)}


class Dense(Gathered):
    def __init__(self, unet, budget):
        super().__init__(unet, budget)
        self.selected = sum(value.numel() for value in self.values)
        self.values = None
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3, weight_decay=0, foreach=False)

    def step(self):
        for parameter, mask in zip(self.parameters, self.masks):
            parameter.grad.mul_(mask)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def held(self):
        return {"selected": self.selected}


def run(side, size):
    unet = unet_of(size["blocks"])
    training = {"sara": Ours, "gathered": Gathered, "dense": Dense}[side](unet, size["budget"])
    x = torch.randn(1, 4, size["latents"], size["latents"])
    text = torch.randn(1, 77, 768)
    for _ in range(size["steps"]):
        start = time.perf_counter()
        torch.nn.functional.mse_loss(unet(x, torch.tensor([500]), text).sample, torch.randn_like(x)).backward()
        alive = sum(p.grad.nbytes for p in unet.parameters() if p.grad is not None)
        training.step()
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"side": side, "parameters": sum(p.numel() for p in unet.parameters()), **training.held(), "peak_rss_gb": round(peak / 1e9, 3),
            "dense_gradient_bytes_after_backward": alive, "step_s": round(seconds, 2), "torch": torch.__version__}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a UNet of 40 million weights")
    parser.add_argument("--peer", choices=["gathered", "dense"], default="gathered")
    parser.add_argument("--side", choices=["sara", "gathered", "dense"], help="run one side in this process")
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(run(arguments.side, SIZES["small" if arguments.small else "full"])))
    else:
        for side in ("sara", arguments.peer):
            subprocess.run([sys.executable, __file__, "--side", side, *(["--small"] if arguments.small else [])], check=True)
