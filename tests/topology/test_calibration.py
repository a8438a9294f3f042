"""The errors tell the truth: even paths, the scatter over other probes, and probes of other sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_topolip import SmoothnessReport, analyze, distance_matrix
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.models import ResNetClassifier, ViTClassifier
from lightning_topolip.topology.estimate import Estimate
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.smoothness_report import smoothness_report

LAYERS, PROBE, STEPS = 10, 128, 10


def walk(correlation: float, seed: int, jump: bool = False, points: int = 256) -> SmoothnessReport:
    """Gaussian clouds of an autoregressive process, even by construction; with a jump, 2 of 16 features are left."""
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.randn(points, 16, generator=generator)
    distances = {}
    for layer in range(LAYERS):
        seen = cloud[:, :2] if jump and layer >= LAYERS // 2 else cloud
        distances[str(layer)] = distance_matrix(seen).numpy()
        fresh = torch.randn(points, 16, generator=generator)
        cloud = correlation * cloud + math.sqrt(1 - correlation**2) * fresh
    return smoothness_report(Measurement(distances))


@pytest.mark.parametrize("correlation", [0.5, 0.7, 0.9, 0.99])
def test_the_signal_of_an_even_path_is_one(correlation: float) -> None:
    assert 0.7 < np.mean([walk(correlation, seed).signal for seed in range(6)]) < 1.4


@pytest.mark.parametrize("correlation", [0.5, 0.9, 0.99])
def test_the_signal_of_a_jump_is_large(correlation: float) -> None:
    assert walk(correlation, seed=0, jump=True).signal > 10


def all_digits() -> Tensor:
    data = DigitsDataModule(batch_size=300, augment=False)
    data.setup("fit")
    data.setup("test")
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    return torch.cat([images for loader in loaders for images, _ in loader])


@pytest.fixture(scope="module")
def images() -> Tensor:
    return all_digits()


@pytest.fixture(scope="module", params=[ViTClassifier, ResNetClassifier])
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A bundled network after a moment of training."""
    torch.manual_seed(0)
    data = DigitsDataModule(batch_size=64)
    data.setup("fit")
    model: nn.Module = request.param(size="micro", num_classes=10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _, (images, labels) in zip(range(STEPS), data.train_dataloader(), strict=False):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


def ratio(reports: Sequence[SmoothnessReport], estimate: Callable[[SmoothnessReport], Estimate]) -> float:
    """The typical error of a number over its scatter over the probes, as a mean over the entries of an array."""
    estimates = [estimate(report) for report in reports]
    errors = np.sqrt(np.mean([found.error**2 for found in estimates], axis=0))
    return float(np.mean(errors / np.std([found.value for found in estimates], axis=0, ddof=1)))


def test_errors_are_the_scatter_over_disjoint_probes(network: nn.Module, images: Tensor) -> None:
    reports = [analyze(network, probe) for probe in images.split(PROBE)[:14]]
    limit = 1 + 3 / math.sqrt(2 * (len(reports) - 1))  # three standard errors of the scatter itself
    ratios = {
        "score": ratio(reports, lambda report: report.estimates["score"]),
        "speed_mean": ratio(reports, lambda report: report.estimates["speed_mean"]),
        "curve": ratio(reports, lambda report: report.curve_estimate),
    }
    assert all(1 / limit < found < limit for found in ratios.values()), ratios


def test_a_score_beyond_the_noise_hardly_depends_on_the_size_of_the_probe() -> None:
    small, large = np.mean([walk(0.9, seed, True, 64).score for seed in range(6)]), walk(0.9, 0, True, 512).score
    assert abs(large / small - 1) < 1 / 3


def test_the_speed_per_sample_hardly_depends_on_the_size_of_the_probe(network: nn.Module, images: Tensor) -> None:
    speeds, plain = {}, {}
    for n in (64, 512):
        reports = [analyze(network, probe, halvings=0) for probe in images[: 3 * 512].split(n)[:6]]
        speeds[n] = np.mean([report.speed_mean for report in reports])
        plain[n] = np.mean([report.wasserstein_curve for report in reports])
    assert abs(speeds[512] / speeds[64] - 1) < 1 / 3
    assert plain[512] / plain[64] > 1.7
