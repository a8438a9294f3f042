"""Drift of every layer's diagrams along perturbations of the probe."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from lightning_topolip.robustness import (
    corruption_family,
    noise_family,
    perturbation_drifts,
    perturbed,
    pgd,
    predictor,
)
from lightning_topolip.robustness.perturbations import Perturbation, attack_family
from lightning_topolip.study.config import Robustness
from lightning_topolip.study.measures.quantity import Quantity
from lightning_topolip.study.measures.smoothness import variant_of
from lightning_topolip.topology.smoothness_report import SmoothnessReport


def perturbation_drift(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    options: Robustness,
    analyse: Callable[[Tensor], SmoothnessReport],
) -> Iterator[Quantity]:
    """Yield ``perturbation_drift``, ``_displacement`` and ``_gain`` of a probe by family, strength and layer."""
    for family, strengths in options.paths.items():
        try:
            with _perturbation(family, model, labels, options) as perturbation:
                probes = list(perturbed(images, perturbation, strengths))
        except FloatingPointError as error:
            warnings.warn(f"The perturbation {family} is skipped: {error}", stacklevel=2)
            continue
        reports = {strength: analyse(probe) for strength, probe in probes}
        variant = variant_of(reports[0.0].settings)
        for row in perturbation_drifts(reports).to_rows():
            for name in ("drift", "displacement", "gain"):
                yield Quantity(f"perturbation_{name}", row[name], variant, row["layer"], family, row["strength"])


@contextmanager
def _perturbation(family: str, model: nn.Module, labels: Tensor, options: Robustness) -> Iterator[Perturbation]:
    if family == "noise":
        yield noise_family()
    elif family == "pgd":
        with predictor(model, labels=labels) as predict:
            yield attack_family(partial(pgd, steps=options.pgd_steps), predict, labels)
    else:
        yield corruption_family(family)
