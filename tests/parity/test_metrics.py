# SPDX-License-Identifier: Apache-2.0
"""Fréchet distance, FID's Inception and CLIP scores against independent implementations."""

import pathlib
import sys

import numpy as np
import pytest
import torch
from model_parity import assert_close
from probe import ProbeError, run_probe
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fid_inception import Network, random_weights  # noqa: E402


def judged_distance(one, other):
    """The textbook form: the root of the product of the covariances through its eigenvalues, in numpy."""
    one, other = one.double().numpy(), other.double().numpy()
    a, b = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    eigenvalues = np.linalg.eigvals(a @ b)
    assert np.abs(eigenvalues.imag).max() < 1e-6 * np.abs(eigenvalues).max()
    root = np.sqrt(np.clip(eigenvalues.real, 0, None)).sum()
    return ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * root


@pytest.mark.parametrize(("n", "m", "d"), [(300, 250, 20), (300, 12, 64), (10, 12, 64), (2, 2, 5), (65, 64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
def test_distance_equals_the_textbook_form(n, m, d, dtype):
    generator = torch.Generator().manual_seed(n)
    mixing = torch.randn(d, d, generator=generator)
    one = (torch.randn(n, d, generator=generator) @ mixing).to(dtype)
    other = (torch.randn(m, d, generator=generator) @ mixing * 1.3 + 0.5).to(dtype)
    got = run_probe("frechet", {"one": one, "other": other})["distance"].item()
    assert got == pytest.approx(judged_distance(one, other), rel=1e-5)


def test_scores_equal_their_definitions_over_pairs():
    generator = torch.Generator().manual_seed(3)
    images, texts, references = (torch.randn(n, 16, generator=generator) for n in (9, 9, 4))
    out = run_probe("clip_score", {"images": images, "texts": texts, "references": references})
    cosine = torch.nn.functional.cosine_similarity
    assert out["clip_t"].item() == pytest.approx(100 * cosine(images, texts).mean().item(), rel=1e-5)
    pairs = [cosine(i, r, dim=0).item() for i in images for r in references]
    assert out["clip_i"].item() == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


@pytest.fixture(scope="module")
def weights():
    return random_weights()


def features(path, pictures):
    return run_probe("inception_features", {f"image.{i}": p for i, p in enumerate(pictures)}, {"weights": str(path)})["features"]


def test_inception_features_equal_the_reference(weights, tmp_path):
    # The classifier and torch's counters lie in converted files, and are not looked at.
    extra = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008), "Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(0)}
    save_file({**weights, **extra}, tmp_path / "inception.safetensors")
    generator = torch.Generator().manual_seed(1)
    pictures = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for shape in [(299, 299, 3), (64, 48, 3), (400, 512, 3)]]
    got = features(tmp_path / "inception.safetensors", pictures)
    expected = torch.cat([Network(weights).features(p.permute(2, 0, 1)[None].float() / 255) for p in pictures])
    assert_close(got, expected)
    assert (expected[0] - expected[2]).abs().max() > 0.01 * expected.abs().max()  # the pictures are told apart


def test_other_weights_than_those_of_fid_are_refused(weights, tmp_path):
    picture = [torch.zeros(8, 8, 3, dtype=torch.uint8)]
    path = tmp_path / "inception.safetensors"
    with pytest.raises(ProbeError, match="no such file.*docs/evaluation.md"):
        features(path, picture)
    save_file({**weights, "fc.bias": torch.zeros(1000)}, path)
    with pytest.raises(ProbeError, match="expected a classifier of 1008 classes.*are not FID"):
        features(path, picture)
    save_file({name: value for name, value in weights.items() if name != "Mixed_6a.branch3x3.bn.bias"}, path)
    with pytest.raises(ProbeError, match="1 missing: Mixed_6a.branch3x3.bn.bias"):
        features(path, picture)
    (tmp_path / "pt_inception.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ProbeError, match="pickle.*Fix: convert it"):
        features(tmp_path / "pt_inception.pth", picture)
