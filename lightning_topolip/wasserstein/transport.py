"""Optimal transport: the distance of two point clouds, and a reference for diagrams. Only this module uses POT.

POT loads slowly and imports torch, so the first call that needs it imports it. Costs are divided by their maximum
first, since POT returns wrong optima for tiny costs. A solve that does not finish raises an error.

Source: Flamary et al., "POT: Python Optimal Transport", JMLR 22(78), 2021.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from lightning_topolip.wasserstein.cloud import cross_distance_matrix, read_cloud, read_cross_distances
from lightning_topolip.wasserstein.diagram import Floats, half_persistence
from lightning_topolip.wasserstein.p_norm import AS_GOOD_AS_INFINITE, STEEP, check_order, p_norm, tighten

_ITERATIONS = 100_000_000


def activation_drift(
    first: ArrayLike | None = None,
    second: ArrayLike | None = None,
    order: float = 2.0,
    *,
    cross_distances: ArrayLike | None = None,
) -> float:
    """Compute W_p between two point clouds with uniform weights and the Euclidean ground metric.

    For p = inf this bounds the topology: W_inf of the clouds' Rips diagrams is at most twice as large
    (DOI 10.1007/s00454-006-1276-5).

    Args:
        first: (n, d) cloud.
        second: (m, d) cloud.
        order: p in [1, inf]; p = inf needs n = m.
        cross_distances: (n, m) distances between the points of the two clouds, instead of the clouds.

    Returns:
        (smallest mean of d^p over all transport plans)^(1/p), in the unit of the distances. Since it is a mean, it does
        not grow with n as W_p of diagrams does.

    Raises:
        ValueError: If neither or both forms are given, a shape is wrong or empty, a value is NaN or infinite, a
            distance is negative, or `order` is out of range.
        RuntimeError: If POT does not converge (n != m only).

    Example:
        >>> activation_drift([[0.0], [1.0]], [[1.0], [3.0]], order=1)
        1.5
        >>> activation_drift(order=math.inf, cross_distances=[[1.0, 3.0], [0.0, 2.0]])
        2.0
    """
    order = check_order(order)
    if (cross_distances is None) == (first is None) or (first is None) != (second is None):
        arguments = {"first": first, "second": second, "cross_distances": cross_distances}
        given = ", ".join(f"`{name}`" for name, value in arguments.items() if value is not None)
        raise ValueError(
            "Arguments must be `first` and `second`, or `cross_distances` alone, "
            f"got {given or 'none of them'}; pass the two clouds or their distances."
        )
    if first is None or second is None:
        assert cross_distances is not None
        distances = read_cross_distances(cross_distances)
    else:
        distances = cross_distance_matrix(*read_cloud(first, second))
    if distances.shape[0] == distances.shape[1]:
        return matching_drift(distances, order)
    if order == math.inf:
        raise ValueError(
            f"Argument `order` must be finite for clouds of different sizes, got inf for {distances.shape[0]} and "
            f"{distances.shape[1]} points; use the same probe for both, or a finite order."
        )
    return transport_drift(distances, order)


def matching_drift(distances: Floats, order: float) -> float:
    """`activation_drift` for n = m, where some optimal plan is a permutation (Birkhoff and von Neumann)."""
    from scipy.optimize import linear_sum_assignment

    if order >= AS_GOOD_AS_INFINITE:
        return _bottleneck_matching(distances)
    count, largest = len(distances), float(distances.max())
    if largest == 0.0:
        return 0.0

    def lengths_below(ceiling: float) -> Floats:
        unit = min(ceiling, largest)
        with np.errstate(over="ignore", under="ignore"):
            costs = np.minimum((distances / unit) ** order, 2.0 * np.float64(ceiling / unit) ** order)
        return np.asarray(distances[linear_sum_assignment(costs)])

    spread = float(count ** (1.0 / order))
    start = _bottleneck_matching(distances) if order > STEEP else largest
    if start == 0.0:
        return 0.0
    return tighten(lengths_below, spread * start, largest, order) / spread


def transport_drift(distances: Floats, order: float) -> float:
    """`activation_drift` by POT's network simplex, for any n and m and a finite order."""
    rows, columns = distances.shape
    return _emd(np.full(rows, 1.0 / rows), np.full(columns, 1.0 / columns), distances, order)


def diagram_transport(first: Floats, second: Floats, order: float) -> float:
    """W_p of two diagrams as a transport problem with one node for the diagonal, by POT's network simplex."""
    if order == math.inf:
        raise ValueError(
            'Argument `order` must be finite with engine="pot", got inf; use engine="exact" for the bottleneck.'
        )
    rows, columns = len(first), len(second)
    if not rows or not columns:
        return p_norm(np.concatenate((half_persistence(first), half_persistence(second))), order)
    lengths = np.zeros((rows + 1, columns + 1))
    lengths[:rows, :columns] = np.abs(first[:, None, :] - second[None, :, :]).max(axis=2)
    lengths[:rows, columns] = half_persistence(first)
    lengths[rows, :columns] = half_persistence(second)
    total = rows + columns
    left = np.append(np.ones(rows), columns) / total
    right = np.append(np.ones(columns), rows) / total
    return _emd(left, right, lengths, order) * float(total ** (1.0 / order))


def _emd(left: Floats, right: Floats, lengths: Floats, order: float) -> float:
    largest = float(lengths.max())
    if largest == 0.0:
        return 0.0
    import ot

    with np.errstate(under="ignore"):
        costs = (lengths / largest) ** order
    value, log = ot.emd2(left, right, costs, numItermax=_ITERATIONS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(
            f"POT found no optimal transport between {len(left)} and {len(right)} nodes: {log['warning']}"
        )
    return float(largest * max(float(value), 0.0) ** (1.0 / order))


def _bottleneck_matching(distances: Floats) -> float:
    """Smallest radius within which the pairs contain a perfect matching."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    lowest = max(float(distances.min(axis=0).max()), float(distances.min(axis=1).max()))
    radii = np.unique(distances[distances >= lowest])
    low, high = 0, len(radii) - 1
    while low < high:
        middle = (low + high) // 2
        graph = csr_matrix(distances <= radii[middle])
        if (maximum_bipartite_matching(graph, perm_type="column") >= 0).all():
            high = middle
        else:
            low = middle + 1
    return float(radii[low])
