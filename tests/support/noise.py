# SPDX-License-Identifier: Apache-2.0
"""Pictures of grey noise, the same in every run."""

import numpy as np
from PIL import Image


def noise_picture(size, spread, seed):
    """An RGB picture of size (width, height) whose grey levels are normal around 128 with this spread."""
    levels = np.random.default_rng(seed).normal(128, spread, size=size[::-1])
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8)).convert("RGB")
