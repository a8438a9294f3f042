"""Accuracies, clean and perturbed, and the drift of the layers along perturbations of the probe."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from lightning_topolip.robustness import (
    autoattack,
    corruption_family,
    evaluate_robustness,
    fgsm,
    noise_family,
    perturbation_drifts,
    perturbed,
    pgd,
    predictor,
)
from lightning_topolip.robustness.attacks import Attack
from lightning_topolip.robustness.perturbations import Perturbation, attack_family
from lightning_topolip.study.config import Robustness
from lightning_topolip.study.measures.measured import Measured
from lightning_topolip.study.measures.smoothness import variant_of
from lightning_topolip.topology.report import SmoothnessReport

Analysis = Callable[[Tensor], SmoothnessReport]


def validation_accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> Iterator[Measured]:
    """Give the accuracy on validation images.

    Args:
        model: The classifier.
        images: Pixels in [0, 1], shape ``(n, C, H, W)``.
        labels: True classes, shape ``(n,)``.

    Yields:
        ``accuracy`` under the condition ``validation``.
    """
    clean = evaluate_robustness(model, images, labels, corruptions=(), attacks={}).clean
    yield Measured("accuracy", clean.value, "", "", "validation")


def accuracies(model: nn.Module, images: Tensor, labels: Tensor, options: Robustness) -> Iterator[Measured]:
    """Give the accuracy on test images: clean, corrupted and attacked.

    Args:
        model: The classifier.
        images: Pixels in [0, 1], shape ``(n, C, H, W)``.
        labels: True classes, shape ``(n,)``.
        options: Corruptions, severities, attacks, epsilons.

    Yields:
        ``images``, then ``accuracy`` by condition and strength.
    """
    known: dict[str, Attack] = {"fgsm": fgsm, "pgd": partial(pgd, steps=options.pgd_steps), "autoattack": autoattack}
    report = evaluate_robustness(
        model,
        images,
        labels,
        corruptions=options.corruptions,
        severities=options.severities,
        attacks={name: known[name] for name in options.attacks},
        epsilons=options.epsilons,
    )
    yield Measured("images", len(labels), "", "", "clean")
    for found in report.accuracies:
        yield Measured("accuracy", found.value, "", "", found.name, found.strength)


def perturbations(
    model: nn.Module, images: Tensor, labels: Tensor, options: Robustness, analysis: Analysis
) -> Iterator[Measured]:
    """Give how far every layer's diagrams travel while the probe is perturbed.

    Args:
        model: The classifier.
        images: The probe, shape ``(n, C, H, W)``.
        labels: Its true classes, shape ``(n,)``.
        options: The paths.
        analysis: From a probe to its report.

    Yields:
        ``perturbation_drift``, ``perturbation_displacement``, ``perturbation_gain`` by family, strength and layer.
    """
    for family, strengths in options.paths.items():
        try:
            with _perturbation(family, model, labels, options) as perturbation:
                probes = list(perturbed(images, perturbation, strengths))
        except FloatingPointError as error:
            warnings.warn(f"The perturbation {family} is left out: {error}", stacklevel=2)
            continue
        reports = {strength: analysis(probe) for strength, probe in probes}
        variant = variant_of(reports[0.0].settings)
        for row in perturbation_drifts(reports).to_rows():
            for name in ("drift", "displacement", "gain"):
                yield Measured(f"perturbation_{name}", row[name], variant, row["layer"], family, row["strength"])


@contextmanager
def _perturbation(family: str, model: nn.Module, labels: Tensor, options: Robustness) -> Iterator[Perturbation]:
    if family == "noise":
        yield noise_family()
    elif family == "pgd":
        with predictor(model) as predict:
            yield attack_family(partial(pgd, steps=options.pgd_steps), predict, labels)
    else:
        yield corruption_family(family)
