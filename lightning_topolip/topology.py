"""Scale and diagrams of a layer at one moment, and the drifts along a path of such."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_topolip.diagrams import Diagrams, persistence_diagrams, scaled
from lightning_topolip.scores import drift
from lightning_topolip.settings import Settings

Array = npt.NDArray[np.float64]
Path = Sequence["LayerTopology | None"]


@dataclass(frozen=True)
class LayerTopology:
    """One layer at one moment: its scale and its diagrams.

    Attributes:
        scale: Mean of the off-diagonal distances, in the unit of the activations.
        raw: Diagrams of the distances, by dimension, each of shape ``(k, 2)``.
    """

    scale: float
    raw: Diagrams

    def view(self, view: str) -> Diagrams:
        """Give the diagrams as they are (``"raw"``) or in units of the scale (``"scaled"``)."""
        return self.raw if view == "raw" else scaled(self.raw, 1.0 / self.scale)

    @property
    def degenerate(self) -> bool:
        """Whether all points coincide, so that the scaled view does not exist."""
        return not self.scale > 0.0


def layer_topology(distances: npt.ArrayLike, settings: Settings) -> LayerTopology:
    """Compute scale and diagrams of one layer.

    Args:
        distances: Distance matrix of the layer, shape ``(n, n)``.
        settings: Dimensions and engine.

    Returns:
        The layer's topology.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.
    """
    matrix = np.asarray(distances, dtype=np.float32)
    diagrams = persistence_diagrams(matrix, settings.dimensions, settings.engine)
    n = len(matrix)
    scale = float(matrix.sum(dtype=np.float64)) / (n * (n - 1)) if n > 1 else 0.0
    return LayerTopology(scale, diagrams)


def path_drifts(topology: Path, view: str, dimensions: Sequence[int], order: float) -> Array:
    """Measure the drift of every step of a path.

    Args:
        topology: Layers in the order of the path; None for one that could not be measured.
        view: ``"scaled"`` or ``"raw"``.
        dimensions: Homology dimensions that count.
        order: Order p of the Wasserstein distance.

    Returns:
        Drifts, shape ``(len(topology) - 1,)``; NaN beside a layer that could not be measured.
    """
    steps = itertools.pairwise(topology)
    return np.array([step_drift(first, second, view, dimensions, order) for first, second in steps], dtype=np.float64)


def step_drift(
    first: LayerTopology | None,
    second: LayerTopology | None,
    view: str,
    dimensions: Sequence[int],
    order: float,
) -> float:
    """Measure the drift of one step; NaN where one of the two could not be measured or has no scale.

    Args:
        first: Topology before the step.
        second: Topology after the step.
        view: ``"scaled"`` or ``"raw"``.
        dimensions: Homology dimensions that count.
        order: Order p of the Wasserstein distance.

    Returns:
        The drift for a step of length 1.
    """
    if first is None or second is None or (view == "scaled" and (first.degenerate or second.degenerate)):
        return math.nan
    before, after = first.view(view), second.view(view)
    return drift({k: before[k] for k in dimensions}, {k: after[k] for k in dimensions}, order)
