"""How large a drift is by sampling alone: the drift between disjoint halves of the probe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_topolip.settings import Settings
from lightning_topolip.topology import Array, LayerTopology, layer_topology, path_drifts, step_drift

Distances = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NoiseBand:
    """Drifts between and along disjoint random halves of the probe, all at half its size, in the headline's view.

    Attributes:
        points: Size of a half.
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


def noise_band(distances: Sequence[Distances | None], points: int, settings: Settings) -> NoiseBand:
    """Measure drifts on random halvings of the probe.

    Args:
        distances: Distance matrices of the network's own layers, each of shape ``(points, points)``; None for a layer
            that could not be measured.
        points: Size of the probe; with fewer than 4 there are no halves to compare.
        settings: Number of splits, seed, view, order and dimensions.

    Returns:
        The band, with NaN for layers that could not be measured.
    """
    half, splits = points // 2, settings.noise_splits if points >= 4 else 0
    noise, drifts = np.empty((splits, len(distances))), np.empty((splits, max(len(distances) - 1, 0)))
    generator = np.random.default_rng(settings.seed)
    scale = (settings.view, settings.dimensions, settings.order)
    for split in range(splits):
        permutation = generator.permutation(points)
        first = _restricted(distances, permutation[:half], settings)
        second = _restricted(distances, permutation[half : 2 * half], settings)
        noise[split] = [step_drift(here, there, *scale) for here, there in zip(first, second, strict=True)]
        drifts[split] = path_drifts(first, *scale)
    return NoiseBand(half, noise, drifts)


def _restricted(
    distances: Sequence[Distances | None], chosen: npt.NDArray[np.int64], settings: Settings
) -> list[LayerTopology | None]:
    halves = (None if matrix is None else matrix[np.ix_(chosen, chosen)] for matrix in distances)
    return [None if half is None else layer_topology(half, settings) for half in halves]
