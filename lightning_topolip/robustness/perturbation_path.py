"""The perturbation axis: how far each layer's diagrams travel as the perturbation of the probe grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_topolip.topology.drifts import drifts_by_dimension
from lightning_topolip.topology.estimate import Array
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.scores import speed_max, speed_mean, topolip
from lightning_topolip.topology.settings import VIEWS, View
from lightning_topolip.topology.smoothness_report import SmoothnessReport


@dataclass(frozen=True)
class PerturbationPath:
    """Drifts of each layer's diagrams along a perturbation of the probe.

    Attributes:
        strengths: Strengths of the reports, increasing from 0, the clean probe.
        layers: Names in the order of execution, starting with ``"<input>"`` if the input was measured.
        drifts: Drift of each layer from one strength to the next, per unit of strength, shape
            ``(len(layers), len(strengths) - 1)``; NaN if a layer could not be measured.
        displacements: Distance of each layer's diagrams from those of the clean probe, per sample, same shape.
        view: ``"scaled"`` or ``"raw"``.
    """

    strengths: tuple[float, ...]
    layers: tuple[str, ...]
    drifts: Array
    displacements: Array
    view: View

    @property
    def gains(self) -> Array:
        """The factor by which each layer amplifies the perturbation: its displacement over that of the input.

        Shape ``(len(layers), len(strengths) - 1)``, 1 for the input itself; NaN if the input was not measured or its
        diagrams do not move.
        """
        if not self.layers or self.layers[0] != INPUT:
            return np.full_like(self.displacements, math.nan)
        input_displacements: Array = np.where(self.displacements[0] > 0, self.displacements[0], math.nan)
        gains: Array = self.displacements / input_displacements
        return gains

    @property
    def speed_mean(self) -> dict[str, float]:
        """Mean drift by layer."""
        return {name: float(speed_mean(drifts)) for name, drifts in zip(self.layers, self.drifts, strict=True)}

    @property
    def speed_max(self) -> dict[str, float]:
        """Largest drift by layer: the Lipschitz constant of the observed path."""
        return {name: float(speed_max(drifts)) for name, drifts in zip(self.layers, self.drifts, strict=True)}

    @property
    def topolip(self) -> dict[str, float]:
        """TopoLip by layer: how unevenly the diagrams travel; NaN for fewer than two drifts."""
        return {name: float(topolip(drifts)) for name, drifts in zip(self.layers, self.drifts, strict=True)}

    def to_rows(self, **labels: Any) -> list[dict[str, Any]]:
        """Return one row per layer and strength, each with the same columns, ready for `csv.DictWriter`.

        Args:
            **labels: Columns that identify the measurement, such as ``model="vit", perturbation="fog"``; they come
                first.

        Returns:
            The rows: labels, layer, strength, drift (from the previous strength), displacement, gain.
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
    """Measure how far each layer's diagrams travel as the probe is perturbed.

    Args:
        reports: Reports on the perturbed probes by strength, 0 being the clean probe. All must be of the same model,
            settings and samples, as from `perturbed` and `analyze`.
        view: ``"scaled"`` or ``"raw"``; that of the settings by default. The raw view includes the amplification by the
            layers, the scaled view only the change of shape.

    Returns:
        Drifts, displacements and gains of the layers present in every report, with the order p and the dimensions of
        the settings.

    Raises:
        ValueError: If there is no strength 0 or only one strength, or the reports cannot be compared.

    Example:
        >>> import torch
        >>> from lightning_topolip import analyze
        >>> from lightning_topolip.robustness import noise_family, perturbed
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), *[torch.nn.Linear(12, 12) for _ in range(4)])
        >>> probes = perturbed(torch.rand(16, 3, 2, 2), noise_family(), strengths=[0.05, 0.1])
        >>> path = perturbation_drifts({strength: analyze(model, probe) for strength, probe in probes})
        >>> path.layers, path.gains.shape
        (('<input>', '1', '2', '3'), (4, 2))
    """
    strengths = tuple(sorted(reports))
    if len(strengths) < 2 or strengths[0] != 0:
        raise ValueError(
            "Argument `reports` must contain the clean probe at strength 0 and at least one positive strength, "
            f"got strengths {list(strengths)}."
        )
    if view not in (None, *VIEWS):
        raise ValueError(f"Argument `view` must be one of {VIEWS} or None, got {view!r}.")
    clean = reports[0]
    settings, path_view = clean.settings, view or clean.settings.view
    different = [s for s in strengths if (reports[s].settings, reports[s].points) != (settings, clean.points)]
    if different:
        raise ValueError(
            "Argument `reports` must contain reports of the same settings and probe size, "
            f"got others than at strength 0 at strengths {different}."
        )
    topologies = [dict(zip(reports[s].layers, reports[s].topology, strict=True)) for s in strengths]
    layers = tuple(name for name in clean.layers if all(name in topology for topology in topologies))

    def distance(name: str, first: int, second: int) -> float:
        pair = topologies[first][name], topologies[second][name]
        return float(drifts_by_dimension([pair], path_view, clean.points, settings)["all"].mean())

    later = range(1, len(strengths))
    drifts = [[distance(name, i - 1, i) / (strengths[i] - strengths[i - 1]) for i in later] for name in layers]
    displacements = [[distance(name, 0, i) for i in later] for name in layers]
    shape = (len(layers), len(later))
    return PerturbationPath(
        strengths, layers, np.array(drifts).reshape(shape), np.array(displacements).reshape(shape), path_view
    )
