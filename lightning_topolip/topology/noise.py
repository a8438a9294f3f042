"""How large a drift is by sampling alone: the drift between disjoint halves or subsets of the probe."""

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
        """Median noise over splits and layers: below it a drift of half the probe means nothing."""
        return float(np.median(self.noise)) if self.noise.size else math.nan

    @property
    def signal(self) -> float:
        """Median drift over median noise, both at half size; at 1 or below the curve shows only sampling."""
        return float(np.median(self.drifts)) / self.level if self.drifts.size and self.level > 0 else math.nan


def noise_band(topology: Path, points: int, settings: Settings) -> NoiseBand:
    """Measure drifts on random halvings of the probe.

    Args:
        topology: The network's own layers in the order of execution; None for one that could not be measured.
        points: Size of the probe.
        settings: Number of splits, view, order and dimensions.

    Returns:
        The band, with NaN for layers that could not be measured.
    """
    splits = max((len(found.halves) for found in topology if found), default=0)
    scale = (settings.view, settings.dimensions, settings.order)
    noise, drifts = np.empty((splits, len(topology))), np.empty((splits, max(len(topology) - 1, 0)))
    for split in range(splits):
        first, second = ([found and found.halves[split][side] for found in topology] for side in (0, 1))
        noise[split] = [step_drift(here, there, *scale) for here, there in zip(first, second, strict=True)]
        drifts[split] = path_drifts(first, *scale)[:, 0]
    size = len(disjoint_subsets(points, settings)[0]) if disjoint_subsets(points, settings) else points // 2
    return NoiseBand(size, noise, drifts)
