"""The pairs of points of two diagrams that are near each other, without looking at the others."""

import numpy as np
from numpy.typing import NDArray

from .diagram import Floats

Indices = NDArray[np.intp]

_CHUNK = 1 << 21


def close_pairs(first: Floats, second: Floats, reach: Floats) -> tuple[Indices, Indices, Floats]:
    """All pairs (i, j) with L-infinity distance at most reach[i].

    Args:
        first: (k, 2) points.
        second: (m, 2) points, sorted by birth.
        reach: (k,) radii >= 0, inf allowed.

    Returns:
        Row indices, column indices and distances, each of shape (number of pairs,), rows ascending.

    >>> close_pairs(np.array([[0.0, 1.0]]), np.array([[0.5, 1.0], [3.0, 4.0]]), np.array([1.0]))
    (array([0]), array([0]), array([0.5]))
    """
    births = first[:, 0]
    slack = reach + 1e-12 * (reach + np.abs(births))
    low = np.searchsorted(second[:, 0], births - slack, side="left")
    counts = np.searchsorted(second[:, 0], births + slack, side="right") - low
    total = int(counts.sum())
    if total > _CHUNK and len(first) > 1:
        middle = len(first) // 2
        upper = close_pairs(first[:middle], second, reach[:middle])
        lower = close_pairs(first[middle:], second, reach[middle:])
        return (
            np.concatenate((upper[0], lower[0] + middle)),
            np.concatenate((upper[1], lower[1])),
            np.concatenate((upper[2], lower[2])),
        )
    if 4 * total > len(first) * len(second):
        return _all_pairs(first, second, reach)
    rows = np.repeat(np.arange(len(first)), counts)
    columns = np.arange(total) - np.repeat(np.cumsum(counts) - counts - low, counts)
    distances = np.abs(first[rows] - second[columns]).max(axis=1, initial=0.0)
    keep = distances <= reach[rows]
    return rows[keep], columns[keep], distances[keep]


def _all_pairs(first: Floats, second: Floats, reach: Floats) -> tuple[Indices, Indices, Floats]:
    distances = np.abs(np.subtract.outer(first[:, 0], second[:, 0]))
    np.maximum(distances, np.abs(np.subtract.outer(first[:, 1], second[:, 1])), out=distances)
    rows, columns = np.nonzero(distances <= reach[:, None])
    return rows, columns, distances[rows, columns]
