"""A drift that keeps the pairing of samples: how differently two layers connect the same samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.cuts import Indices, disjoint_subsets, halvings
from lightning_topolip.topology.estimate import Array, Estimate
from lightning_topolip.topology.matrices import checked_matrix, scale
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings, View


def paired_drift(first: npt.ArrayLike, second: npt.ArrayLike, view: View = "scaled") -> float:
    """Measure how differently two layers connect the same samples, per sample.

    Persistence diagrams forget which sample is which: a layer that exchanges two samples has the same diagrams. This
    number does not. It is RTD-Lite per sample: the mean weight of the minimal spanning trees of both layers, minus that
    of the smaller distances, ``((T(A) + T(B)) / 2 - T(min(A, B))) / n``.

    Args:
        first: Distance matrix of a layer, shape ``(n, n)``.
        second: The same of another layer, of the same samples in the same order.
        view: ``"scaled"``, each matrix over its mean distance, or ``"raw"``.

    Returns:
        0 for layers that connect the samples in the same way at all scales, else positive; NaN in the scaled view where
        all points of a layer coincide.

    Raises:
        ValueError: If an argument is no distance matrix or they differ in size.

    Source:
        RTD-Lite, arXiv:2503.11910, which divides by the 0.9-quantile instead of the mean.

    Example:
        >>> two_pairs = np.array([0.0, 1.0, 10.0, 11.0])
        >>> layer, exchanged = (np.abs(np.subtract.outer(x, x)) for x in (two_pairs, two_pairs[[0, 2, 1, 3]]))
        >>> paired_drift(layer, layer), paired_drift(layer, exchanged, "raw")
        (0.0, 2.0)
    """
    one, other = checked_matrix(first, "first"), checked_matrix(second, "second")
    if one.shape != other.shape:
        raise ValueError(
            f"Argument `second` must be of the samples of `first`, got {len(other)} instead of {len(one)}."
        )
    return _paired(_seen(one, view), _seen(other, view))


def paired_drifts(measurement: Measurement, settings: Settings) -> Estimate:
    """Measure the paired drift of every step from layer to layer, with what it is on the parts of the probe.

    NaN next to a layer without distances. On a large probe it is the mean over the subsets.
    """
    matrices = list(measurement.distances.values())
    subsets = disjoint_subsets(measurement.points, settings)
    if subsets:
        parts = np.array([[_along(matrices, settings.view, subset) for subset in subsets]])
        return Estimate(parts[0].mean(axis=0), parts)
    cuts = halvings(measurement.points, settings)
    parts = np.array([[_along(matrices, settings.view, half) for half in cut] for cut in cuts], dtype=np.float64)
    whole = _along(matrices, settings.view, np.arange(measurement.points))
    return Estimate(whole, parts.reshape(len(cuts), 2, len(whole)))


def _along(matrices: Sequence[npt.NDArray[np.float32] | None], view: View, samples: Indices) -> Array:
    seen = [None if matrix is None else _seen(matrix[np.ix_(samples, samples)], view) for matrix in matrices]
    steps = itertools.pairwise(seen)
    drifts = [math.nan if one is None or other is None else _paired(one, other) for one, other in steps]
    return np.array(drifts, dtype=np.float64)


def _seen(matrix: npt.NDArray[Any], view: View) -> Array:
    """The distances in a view; NaN if there is no scale."""
    unit = scale(matrix) if view == "scaled" else 1.0
    return matrix.astype(np.float64) / (unit or math.nan)


def _paired(one: Array, other: Array) -> float:
    if np.isnan(one).any() or np.isnan(other).any():
        return math.nan
    apart = (_tree_weight(one) + _tree_weight(other)) / 2 - _tree_weight(np.minimum(one, other))
    return max(apart, 0.0) / len(one)


def _tree_weight(matrix: Array) -> float:
    """The weight of a minimal spanning tree: the heights of single linkage."""
    from scipy.cluster.hierarchy import linkage

    first, second = np.triu_indices(len(matrix), k=1)
    return float(linkage(matrix[first, second], "single")[:, 2].sum())
