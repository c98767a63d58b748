# SPDX-License-Identifier: Apache-2.0
"""The same picture by the program and by a diffusers pipeline, for the parity tests of the families."""

import subprocess

import numpy
import torch
from PIL import Image
from probe import BUILD


def sara(*words):
    done = subprocess.run([str(word) for word in [BUILD / "sara", *words, "--threads", "1"]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def drawn_by_sara(model, output, *words):
    sara("generate", "--model", model, "--output", output, "--steps", "10", *words)
    return [numpy.asarray(Image.open(path)).astype(int) for path in sorted(output.glob("0*.png"))]


def drawn_by_diffusers(pipe, prompt, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return numpy.asarray(pipe(prompt, generator=generator, num_inference_steps=10, **options).images[0]).astype(int)
