"""W_p of any two diagrams: points matched along shortest paths, with costs computed where a path looks for them.

A point i of one diagram pays the diagonal's cost c_i, or shares d_ij^p with a partner j of the other. With potentials
a_i <= c_i and b_j <= c_j such that a_i + b_j <= d_ij^p everywhere, no matching costs less than the sum of all
potentials; one that costs as much, because its pairs and its unmatched points reach their bounds, is optimal. Every
point starts with half of what its nearest point of the other diagram asks, so all potentials are of the size of the
distances themselves and nothing is lost on diagrams that are nearly equal. Then one point after the other is brought
to its bound along a shortest augmenting path (Jonker and Volgenant, DOI 10.1007/BF02278710), in both directions.

The bottleneck distance comes first, from the same search with the longest edge of a path in place of the sum: by
Mendelsohn and Dulmage a matching covers all points of both sides that lie above a radius iff each side's can be
covered alone. It then is the unit of length: with it the least cost is between 1 and the number of points.

No graph is stored. The points lie in blocks of 32 with consecutive births; a search leaves out the blocks whose
bounding box and smallest weight cannot meet its bound, and tests the 32 points of the others at once.
"""

import numpy as np

from .compilation import compiled, kernel, power
from .diagram import Floats
from .norm import AS_GOOD_AS_INFINITE
from .paths import match_rows
from .search import search
from .side import BIRTH, DEATH, HALF, LANES, MATE, NEAR, NEAREST, NO_POINT, Side, apart, begin_matching, make_side
from .tree import HIT, HIT_LENGTH, Tree


@kernel
def plane_distances(first: Floats, second: Floats, orders: Floats) -> Floats:
    """W_p of two diagrams, for several p.

    Args:
        first: (k, 2) canonical diagram, k >= 1.
        second: (m, 2) canonical diagram, m >= 1.
        orders: (q,) orders p in [1, inf].

    Returns:
        (q,) distances, in the unit of the coordinates.

    Example:
        >>> first, second = np.array([[0.0, 4.0], [1.0, 2.0]]), np.array([[0.0, 5.0]])
        >>> plane_distances(first, second, np.array([1.0, np.inf]))
        array([1.5, 1. ])
    """
    rows, columns = make_side(first), make_side(second)
    longest = max(len(first), len(second), 3)
    tree = Tree(np.empty((3, longest)), np.empty((7, longest), np.int64))
    widest = max(_find_nearest(rows, columns, tree), _find_nearest(columns, rows, tree))
    widest = _match(rows, columns, np.inf, 1.0, np.inf, widest, tree)
    found = np.full(len(orders), widest)
    if widest == 0.0:
        return found
    scale = 1.0 / max(widest, 1e-300)
    dearest = 2.0 * (len(first) + len(second))  # twice what all points cost if each goes no further than the widest
    for index in range(len(orders)):
        order = orders[index]
        if order < AS_GOOD_AS_INFINITE:
            _match(rows, columns, order, scale, dearest, 0.0, tree)
            found[index] = max(widest, _total(rows, columns, order, scale) ** (1.0 / order) / scale)
    return found


@compiled
def _match(rows: Side, columns: Side, order: float, scale: float, dearest: float, floor: float, tree: Tree) -> float:
    """Bring all points of both sides to their bounds; for p = inf each side by a matching of its own."""
    begin_matching(rows, order, scale, dearest)
    begin_matching(columns, order, scale, dearest)
    floor = match_rows(rows, columns, order, scale, floor, tree)
    if order == np.inf:
        begin_matching(rows, order, scale, dearest)
        begin_matching(columns, order, scale, dearest)
    return match_rows(columns, rows, order, scale, floor, tree)


@compiled
def _find_nearest(rows: Side, columns: Side, tree: Tree) -> float:
    """Fill in the nearest columns.

    Returns:
        The largest distance from a row to its nearest column or to the diagonal: no W_inf is smaller.
    """
    widest = 0.0
    column = 0
    for row in range(rows.links.shape[1]):
        block, lane = row // LANES, row % LANES
        reach = 2.0 * rows.blocks[block, HALF, lane]
        near = min(reach, apart(rows, row, columns, column))  # what the row before has found is not far
        hits = search(
            rows.blocks[block, BIRTH, lane],
            rows.blocks[block, DEATH, lane],
            columns.blocks,
            columns.boxes,
            np.inf,
            1.0,
            0.0,
            near,
            tree,
        )
        if hits:
            column, near = tree.links[HIT, 0], tree.lengths[HIT_LENGTH, 0]
        rows.links[NEAREST, row] = column if near < reach else NO_POINT
        rows.blocks[block, NEAR, lane] = near
        widest = max(widest, min(reach / 2.0, near))
    return widest


@compiled
def _total(rows: Side, columns: Side, order: float, scale: float) -> float:
    """Cost of the matching, from its lengths."""
    total = 0.0
    for row in range(rows.links.shape[1]):
        column = rows.links[MATE, row]
        length = rows.blocks[row // LANES, HALF, row % LANES]
        if column != NO_POINT:
            length = apart(rows, row, columns, column)
        total += power(scale * length, order)
    for column in range(columns.links.shape[1]):
        if columns.links[MATE, column] == NO_POINT:
            total += power(scale * columns.blocks[column // LANES, HALF, column % LANES], order)
    return total
