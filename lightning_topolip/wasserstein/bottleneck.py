"""The bottleneck distance of any two diagrams, exact: the result is one of the input's own distances.

At radius t a point with half persistence above t must be matched, with a point within t. By Mendelsohn and
Dulmage a matching that covers the mandatory points of both sides exists iff each side's can be covered alone,
so two small bipartite matchings decide a radius. No radius will do that is below the distance from some point
to the nearest of the other diagram and the diagonal, and that bound is often the answer. Above it the radius
is searched among the diagonal distances, then among the few pair distances left between two of those.
"""

from collections.abc import Callable

import numpy as np

from .diagram import Floats, half_persistence
from .pairs import close_pairs


def bottleneck_distance(first: Floats, second: Floats) -> float:
    """W_inf between two canonical diagrams.

    Args:
        first: (k, 2) points above the diagonal, sorted by birth.
        second: (m, 2) likewise.

    Returns:
        The distance, in the unit of the coordinates.

    >>> bottleneck_distance(np.array([[0.0, 4.0], [1.0, 2.0]]), np.array([[0.0, 5.0]]))
    1.0
    """
    first_half, second_half = half_persistence(first), half_persistence(second)
    if not len(first) or not len(second):
        return float(max(first_half.max(initial=0.0), second_half.max(initial=0.0)))

    def feasible(radius: float) -> bool:
        return _covers(first[first_half > radius], second, radius) and _covers(
            second[second_half > radius], first, radius
        )

    bound = max(_loneliest(first, second, first_half), _loneliest(second, first, second_half))
    radii = np.unique(np.concatenate(([bound], first_half, second_half)))
    radii = radii[radii >= bound]
    top = _first_feasible(radii, feasible)
    if top == 0:
        return bound
    low, high = float(radii[top - 1]), float(radii[top])
    lengths = np.concatenate(
        (
            _lengths(first[first_half > low], second, high),
            _lengths(second[second_half > low], first, high),
            [high],
        )
    )
    between = np.unique(lengths[lengths > low])
    return float(between[_first_feasible(between, feasible)])


def _first_feasible(radii: Floats, feasible: Callable[[float], bool]) -> int:
    """Index of the smallest feasible radius, looked for near the start; the last one is feasible."""
    low, high, step = 0, len(radii) - 1, 0
    while low < high:
        middle = min(low + step, (low + high) // 2)
        step = 2 * step + 1
        if feasible(float(radii[middle])):
            high = middle
        else:
            low = middle + 1
    return low


def _loneliest(points: Floats, others: Floats, half: Floats) -> float:
    """Largest distance from one of the points to the nearest of the others and the diagonal."""
    from scipy.spatial import KDTree

    _, nearest = KDTree(others).query(points, p=np.inf)
    return float(np.minimum(half, np.abs(points - others[nearest]).max(axis=1)).max())


def _covers(mandatory: Floats, others: Floats, radius: float) -> bool:
    """Whether all mandatory points can be matched at once, each with another one within the radius."""
    count = len(mandatory)
    if count == 0:
        return True
    if count > len(others):
        return False
    rows, columns, _ = close_pairs(mandatory, others, np.full(count, radius))
    degrees = np.bincount(rows, minlength=count)
    if not degrees.all():
        return False
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    starts = np.concatenate(([0], np.cumsum(degrees)))
    graph = csr_matrix((np.ones(len(rows), np.int8), columns, starts), shape=(count, len(others)))
    return bool((maximum_bipartite_matching(graph, perm_type="column") >= 0).all())


def _lengths(mandatory: Floats, others: Floats, radius: float) -> Floats:
    return close_pairs(mandatory, others, np.full(len(mandatory), radius))[2]
