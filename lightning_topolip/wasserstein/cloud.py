"""Euclidean distances between the points of two clouds, accurate even for nearly equal points."""

import numpy as np
from numpy.typing import ArrayLike

from lightning_topolip.wasserstein.diagram import Floats, read_numbers

_COLUMNS = 4096
_REPAIR = 1e-6


def read_cloud(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    """Check two clouds, (n, d) and (m, d), and convert them to float64, complex coordinates to pairs of real ones.

    Raises:
        ValueError: If a cloud is not two-dimensional, has no points, is not finite, or the widths differ.
    """
    clouds = []
    for name, value in (("first", first), ("second", second)):
        cloud = read_numbers(name, value, "an (n, d) array of finite numbers", complex_as_pairs=True)
        if cloud.ndim != 2 or len(cloud) == 0:
            raise ValueError(
                f"Argument `{name}` must be an (n, d) array with n >= 1, got shape {cloud.shape}; "
                "flatten each sample to a row."
            )
        _check_finite(name, cloud)
        clouds.append(cloud)
    if clouds[0].shape[1] != clouds[1].shape[1]:
        raise ValueError(
            f"Arguments `first` and `second` must have the same width d, got shapes {clouds[0].shape} and "
            f"{clouds[1].shape}; compare the same layer, or pass cross_distances."
        )
    return clouds[0], clouds[1]


def read_cross_distances(value: ArrayLike) -> Floats:
    """Check an (n, m) matrix of distances and convert it to float64.

    Raises:
        ValueError: If it is not two-dimensional, has no entries, or one is not finite or negative.
    """
    distances = read_numbers("cross_distances", value, "an (n, m) array of finite distances")
    if distances.ndim != 2 or distances.size == 0:
        raise ValueError(
            f"Argument `cross_distances` must be an (n, m) array with n, m >= 1, got shape {distances.shape}; pass "
            "one row per point of the first cloud and one column per point of the second."
        )
    _check_finite("cross_distances", distances)
    if distances.min() < 0:
        raise ValueError(
            f"Argument `cross_distances` must be >= 0, got {distances.min()}; "
            "pass distances, not similarities or logarithms."
        )
    return distances


def cross_distance_matrix(first: Floats, second: Floats) -> Floats:
    """Compute the (n, m) Euclidean distances between two finite clouds (n, d) and (m, d), to 1e-9 relative or better.

    The product of the centred clouds is summed over blocks of columns. Pairs whose squared distance is small compared
    with their norms are computed again from their differences.

    Example:
        >>> cross_distance_matrix(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1e-9]]))
        array([[5.e+00, 1.e-09]])
    """
    blocks = [slice(start, start + _COLUMNS) for start in range(0, first.shape[1], _COLUMNS)]
    peak = max((float(np.abs(cloud[:, block]).max()) for cloud in (first, second) for block in blocks), default=0.0)
    shift = 1 - int(np.frexp(peak)[1])
    squared = np.zeros((len(first), len(second)))
    sizes = np.zeros_like(squared)
    for block in blocks:
        left, right = np.ldexp(first[:, block], shift), np.ldexp(second[:, block], shift)
        centre = left.mean(axis=0)
        left -= centre
        right -= centre
        norms = np.add.outer(np.einsum("ij,ij->i", left, left), np.einsum("ij,ij->i", right, right))
        sizes += norms
        squared += norms - 2.0 * (left @ right.T)
    repaired = np.zeros_like(squared)
    rows, columns = np.nonzero(squared <= _REPAIR * sizes)
    for row in np.unique(rows):
        near = columns[rows == row]
        apart = np.abs(np.ldexp(first[row], shift) - np.ldexp(second[near], shift))
        unit = np.maximum(apart.max(axis=1, initial=0.0), np.finfo(float).tiny)
        repaired[row, near] = unit * np.sqrt(((apart / unit[:, None]) ** 2).sum(axis=1))
    distances = np.sqrt(np.maximum(squared, 0.0))
    distances[rows, columns] = repaired[rows, columns]
    return np.asarray(np.ldexp(distances, -shift))


def _check_finite(name: str, array: Floats) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(axis[0]) for axis in np.nonzero(bad))
        raise ValueError(
            f"Argument `{name}` must be finite, got {array[index]} at index {index} and {int(bad.sum()) - 1} more like "
            "it; the model overflowed or diverged, check the layer's output."
        )
