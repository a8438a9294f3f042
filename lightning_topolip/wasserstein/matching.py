"""The matching behind the distance: which point of one diagram goes to which point of the other, or to the diagonal."""

import numpy as np
from numpy.typing import ArrayLike

from lightning_topolip.wasserstein.diagram import (
    DIAGONAL,
    Indices,
    KeyedDiagram,
    keyed,
    normalize,
    on_one_line,
    read_points,
)
from lightning_topolip.wasserstein.p_norm import AS_GOOD_AS_INFINITE, check_order


def wasserstein_matching(first: ArrayLike, second: ArrayLike, order: float = 2.0) -> Indices:
    """Compute an optimal matching of two persistence diagrams, the one whose cost is `wasserstein_distance`.

    Every point of both diagrams is in exactly one pair. The cost of a pair is the L-infinity distance d of its points,
    or half the persistence of a point that is matched with the diagonal; (sum of d^p)^(1/p), or the largest d for
    p = inf, is the distance. The gradient of the distance flows to the points by these pairs.

    Where several matchings are optimal, the result is one of them. It depends on the points alone: exchanged arguments
    give the same pairs with exchanged columns. Equal points are taken in the order in which they come. So equal arrays
    are matched row by row. For p = inf, only the longest pairs are optimal: the others are no longer than these.

    Args:
        first: (k, 2) finite (birth, death) of one homology dimension, in any order; [] is the empty diagram.
            Points with birth == death go to the diagonal, at no cost.
        second: (m, 2), likewise.
        order: p in [1, inf].

    Returns:
        Pairs (i, j) of row indices into `first` and `second`, int64, -1 for the diagonal: the k points of `first` in
        their order, then the pairs (-1, j) in the order of j.

    Raises:
        ValueError: If a diagram has another shape or a point that is NaN, infinite or below the diagonal, or if
            `order` is not allowed.

    Source:
        Mendelsohn and Dulmage, "Some generalizations of the problem of distinct representatives",
        DOI 10.4153/CJM-1958-027-8, for p = inf; the solvers are those of `wasserstein_distance`.

    Example:
        >>> wasserstein_matching([[0, 4], [1, 2]], [[0, 1], [0, 5]])
        array([[ 0,  1],
               [ 1, -1],
               [-1,  0]])
    """
    order = check_order(order)
    rows, left = _indexed("first", first)
    columns, right = _indexed("second", second)
    partners = _partners(left, right, order)
    matched = partners != DIAGONAL
    mates = np.full(rows.size, DIAGONAL, np.int64)
    mates[rows[: len(partners)][matched]] = columns[partners[matched]]
    left_over = np.flatnonzero(_inverse(mates, columns.size) == DIAGONAL)
    pairs = np.full((rows.size + left_over.size, 2), DIAGONAL, np.int64)
    pairs[: rows.size, 0], pairs[: rows.size, 1], pairs[rows.size :, 1] = np.arange(rows.size), mates, left_over
    return pairs


def _indexed(name: str, value: ArrayLike) -> tuple[Indices, KeyedDiagram]:
    """Read a diagram and the row of each of its points; the rows of points on the diagonal come last."""
    points, above = read_points(name, value)
    rows = np.lexsort((points[:, 1], points[:, 0]))  # stable: equal points in the order in which they come
    off = np.zeros(len(points), dtype=bool)
    off[above] = True
    rows = np.concatenate((rows[off[rows]], rows[~off[rows]]))
    return rows, keyed(np.ascontiguousarray(points[rows[: off.sum()]]) + 0.0)


def _partners(first: KeyedDiagram, second: KeyedDiagram, order: float) -> Indices:
    """The partner of each point of the first canonical diagram, the same in both directions."""
    if first.key == second.key:
        return np.arange(len(first.points), dtype=np.int64)
    if second.key < first.key:
        return _inverse(_partners(second, first, order), len(first.points))
    left, right, _ = normalize(first, second)
    if not len(left):
        return np.empty(0, np.int64)
    mates: Indices = np.full((2, len(left)), DIAGONAL, np.int64)
    if on_one_line(left, right):
        from lightning_topolip.wasserstein.line_alignment import line_distances

        line_distances(left, right, np.array([order]), mates)
        return np.asarray(mates[1])
    from lightning_topolip.wasserstein.plane_matching import plane_distances

    distance = plane_distances(left, right, np.array([order]), mates)[0]
    if order < AS_GOOD_AS_INFINITE and distance > 0.0:
        return np.asarray(mates[1])
    return _cover_both(mates[0], mates[1], len(right))


def _cover_both(covering_rows: Indices, covering_columns: Indices, columns: int) -> Indices:
    """Combine two matchings into one that covers the rows of the first and the columns of the second.

    Each row that only the first covers takes its column there. The row that loses this column takes its own column in
    the first, and so on, up to a free column or to a row that the first does not cover.
    """
    mates, holders = covering_columns.copy(), _inverse(covering_columns, columns)
    for start in np.flatnonzero((covering_rows != DIAGONAL) & (covering_columns == DIAGONAL)).tolist():
        row = start
        while row != DIAGONAL:
            column = mates[row] = covering_rows[row]
            row = holders[column] if column != DIAGONAL else DIAGONAL
    return mates


def _inverse(partners: Indices, count: int) -> Indices:
    """The partners of the `count` points of the other diagram."""
    inverse = np.full(count, DIAGONAL, np.int64)
    matched = np.flatnonzero(partners != DIAGONAL)
    inverse[partners[matched]] = matched
    return inverse
