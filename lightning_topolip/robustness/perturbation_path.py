"""The perturbation axis: how far every layer's diagrams travel while the probe is perturbed more and more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_topolip.topology.layer import Array, step_drift
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.report import SmoothnessReport
from lightning_topolip.topology.scores import speed_max, speed_mean, topolip
from lightning_topolip.topology.settings import VIEWS, View


@dataclass(frozen=True)
class PerturbationPath:
    """The diagrams of every layer along a perturbation of the probe.

    Attributes:
        strengths: Strength of every report, rising from 0, the clean probe.
        layers: Names in the order of execution, ``"<input>"`` first where there is one.
        drifts: Drift of every layer from one strength to the next, a unit of strength, shape
            ``(len(layers), len(strengths) - 1)``; NaN where a layer could not be measured.
        displacements: Distance of every layer's diagrams from those of the clean probe, the same shape.
        view: ``"scaled"`` or ``"raw"``.
    """

    strengths: tuple[float, ...]
    layers: tuple[str, ...]
    drifts: Array
    displacements: Array
    view: View

    @property
    def gains(self) -> Array:
        """By what every layer amplifies the perturbation: its displacement over that of the input.

        Shape ``(len(layers), len(strengths) - 1)``, 1 for the input itself; NaN where the input was not measured or its
        diagrams do not move.
        """
        if not self.layers or self.layers[0] != INPUT:
            return np.full_like(self.displacements, math.nan)
        moved: Array = np.where(self.displacements[0] > 0, self.displacements[0], math.nan)
        gains: Array = self.displacements / moved
        return gains

    @property
    def speed_mean(self) -> dict[str, float]:
        """Mean drift by layer."""
        return {name: speed_mean(drifts) for name, drifts in zip(self.layers, self.drifts, strict=True)}

    @property
    def speed_max(self) -> dict[str, float]:
        """Largest drift by layer: the Lipschitz constant of the observed path."""
        return {name: speed_max(drifts) for name, drifts in zip(self.layers, self.drifts, strict=True)}

    @property
    def topolip(self) -> dict[str, float]:
        """TopoLip by layer: how unevenly its diagrams travel; NaN for fewer than two steps."""
        return {name: topolip(drifts) for name, drifts in zip(self.layers, self.drifts, strict=True)}

    def to_rows(self, **labels: Any) -> list[dict[str, Any]]:
        """Give one row a layer and strength, the same columns in each, as for `csv.DictWriter`.

        Args:
            **labels: Columns that say what was measured, such as ``model="vit", perturbation="fog"``; they come first.

        Returns:
            The rows: labels, layer, strength, drift (from the strength before), displacement, gain.
        """
        gains = self.gains
        return [
            {
                **labels,
                "layer": layer,
                "strength": strength,
                "drift": float(self.drifts[row, column]),
                "displacement": float(self.displacements[row, column]),
                "gain": float(gains[row, column]),
            }
            for row, layer in enumerate(self.layers)
            for column, strength in enumerate(self.strengths[1:])
        ]


def perturbation_drifts(reports: Mapping[float, SmoothnessReport], view: View | None = None) -> PerturbationPath:
    """Measure how far every layer's diagrams travel while the probe is perturbed.

    Args:
        reports: By strength the analysis of the probe perturbed by it, 0 being the clean probe; all of one model, with
            the same settings and samples, as from `perturbed` and `analyze`.
        view: ``"scaled"`` or ``"raw"``; the settings' own by default. The raw view carries the amplification of the
            layers, the scaled one the change of shape alone.

    Returns:
        Drifts, displacements and gains of the layers that every report holds, in order p and over the dimensions of the
        settings.

    Raises:
        ValueError: If strength 0 or a second strength is missing, or the reports cannot be compared.

    Example:
        >>> import torch
        >>> from lightning_topolip import analyze
        >>> from lightning_topolip.robustness import noise_family, perturbed
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 12))
        >>> probes = perturbed(torch.rand(16, 3, 2, 2), noise_family(), strengths=[0.05, 0.1])
        >>> path = perturbation_drifts({strength: analyze(model, probe) for strength, probe in probes})
        >>> path.layers, path.gains.shape
        (('<input>', '0', '1'), (3, 2))
    """
    strengths = tuple(sorted(reports))
    if len(strengths) < 2 or strengths[0] != 0:
        raise ValueError(
            "Argument `reports` must hold the clean probe at strength 0 and at least one positive strength, "
            f"got strengths {list(strengths)}."
        )
    if view not in (None, *VIEWS):
        raise ValueError(f"Argument `view` must be one of {VIEWS} or None, got {view!r}.")
    path = [reports[strength] for strength in strengths]
    settings, points = path[0].settings, path[0].points
    if any((report.settings, report.points) != (settings, points) for report in path):
        raise ValueError("Argument `reports` must hold reports of the same settings and probe size.")
    measured = [dict(zip(report.layers, report.topology, strict=True)) for report in path]
    layers = tuple(name for name in path[0].layers if all(name in found for found in measured))
    chosen = view or settings.view

    def distance(name: str, first: int, second: int) -> float:
        return step_drift(measured[first][name], measured[second][name], chosen, settings.dimensions, settings.order)

    steps = range(1, len(strengths))
    drifts = [[distance(name, i - 1, i) / (strengths[i] - strengths[i - 1]) for i in steps] for name in layers]
    displacements = [[distance(name, 0, i) for i in steps] for name in layers]
    shape = (len(layers), len(steps))
    return PerturbationPath(
        strengths, layers, np.array(drifts).reshape(shape), np.array(displacements).reshape(shape), chosen
    )
