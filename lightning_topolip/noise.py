"""How large a drift is by sampling alone: the drift between disjoint halves of the probe."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


def noise_band(
    distances: Sequence[Distances | None],
    points: int,
    settings: Settings,
    on_layer: Callable[[], object] = lambda: None,
) -> NoiseBand:
    """Measure drifts on random halvings of the probe.

    Args:
        distances: Distance matrices of the network's own layers, each of shape ``(points, points)``; None for a layer
            that could not be measured.
        points: Size of the probe; with fewer than 6 there are no halves to compare, since two points always have the
            same scaled diagram.
        settings: Number of splits, seed, view, order and dimensions.
        on_layer: Called whenever the persistence of a layer is done on one half.

    Returns:
        The band, with NaN for layers that could not be measured.
    """
    half, splits = points // 2, settings.noise_splits if points >= 6 else 0
    noise, drifts = np.empty((splits, len(distances))), np.empty((splits, max(len(distances) - 1, 0)))
    generator = np.random.default_rng(settings.seed)
    scale = (settings.view, settings.dimensions, settings.order)
    for split in range(splits):
        permutation = generator.permutation(points)
        first = _restricted(distances, permutation[:half], settings, on_layer)
        second = _restricted(distances, permutation[half : 2 * half], settings, on_layer)
        noise[split] = [step_drift(here, there, *scale) for here, there in zip(first, second, strict=True)]
        drifts[split] = path_drifts(first, *scale)
    return NoiseBand(half, noise, drifts)


def _restricted(
    distances: Sequence[Distances | None],
    chosen: npt.NDArray[np.int64],
    settings: Settings,
    on_layer: Callable[[], object],
) -> list[LayerTopology | None]:
    found: list[LayerTopology | None] = []
    for matrix in distances:
        found.append(None if matrix is None else layer_topology(matrix[np.ix_(chosen, chosen)], settings))
        on_layer()
    return found
