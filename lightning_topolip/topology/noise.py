"""The noise of a drift: the drift between disjoint halves or subsets of the probe, due to sampling alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lightning_topolip.topology.layer import Array, Path, disjoint_subsets, path_drifts, step_drift
from lightning_topolip.topology.settings import Settings


@dataclass(frozen=True)
class NoiseBand:
    """Drifts between and along disjoint random halves of the probe, or pairs of subsets, in the headline's view.

    Attributes:
        points: Size of a half or subset.
        noise: Drift between the two halves at one layer, shape ``(splits, layers)``.
        drifts: Drift of the first half from layer to layer, shape ``(splits, layers - 1)``.
    """

    points: int
    noise: Array
    drifts: Array

    @property
    def level(self) -> float:
        """Median noise over splits and layers; a drift of half the probe below it means nothing."""
        return float(np.median(self.noise)) if self.noise.size else math.nan

    @property
    def signal(self) -> float:
        """Median drift divided by median noise, both at half size; at 1 or below, the curve shows only sampling."""
        return float(np.median(self.drifts)) / self.level if self.drifts.size and self.level > 0 else math.nan


def noise_band(topology: Path, points: int, settings: Settings) -> NoiseBand:
    """Measure drifts on the halves of the probe, NaN for a failed layer; the path does not include the input."""
    splits = max((len(layer.halves) for layer in topology if layer), default=0)
    options = (settings.view, settings.dimensions, settings.order)
    noise, drifts = np.empty((splits, len(topology))), np.empty((splits, max(len(topology) - 1, 0)))
    for split in range(splits):
        first, second = ([layer and layer.halves[split][half] for layer in topology] for half in (0, 1))
        noise[split] = [step_drift(here, there, *options) for here, there in zip(first, second, strict=True)]
        drifts[split] = path_drifts(first, *options)[:, 0]
    subsets = disjoint_subsets(points, settings)
    return NoiseBand(len(subsets[0]) if subsets else points // 2, noise, drifts)
