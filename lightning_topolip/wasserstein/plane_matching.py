"""W_p of any two diagrams: an optimal matching by shortest augmenting paths, with costs computed when they are needed.

A point i of one diagram pays the cost c_i of the diagonal, or shares d_ij^p with a partner j of the other. If the
potentials satisfy a_i <= c_i, b_j <= c_j and a_i + b_j <= d_ij^p everywhere, no matching costs less than the sum of
all potentials. A matching that costs as much, because its pairs and unmatched points reach their bounds, is optimal.
Every potential starts at half the cost to the nearest point of the other diagram. So all potentials are of the size of
the distances themselves, and no digits are lost on nearly equal diagrams. Then one point after the other is brought to
its bound along a shortest augmenting path (Jonker and Volgenant, DOI 10.1007/BF02278710), in both directions.

The bottleneck distance is computed first, by the same search with the longest edge of a path instead of the sum: by
Mendelsohn and Dulmage a matching covers all points of both diagrams that lie above a radius iff those of each diagram
can be covered alone. It is then the unit of length, so that the least cost is between 1 and the number of points.

No graph is stored. The points lie in blocks of 32 with consecutive births. A search skips the blocks whose bounding
box and smallest weight cannot meet its bound, and tests the 32 points of each other block at once.
"""

import numpy as np

from lightning_topolip.wasserstein.augmenting_paths import match_rows
from lightning_topolip.wasserstein.compilation import compiled, kernel, power
from lightning_topolip.wasserstein.diagram import Floats, Indices
from lightning_topolip.wasserstein.edge_search import search_edges
from lightning_topolip.wasserstein.p_norm import AS_GOOD_AS_INFINITE
from lightning_topolip.wasserstein.path_tree import HIT, HIT_LENGTH, PathTree
from lightning_topolip.wasserstein.point_blocks import (
    BIRTH,
    DEATH,
    HALF,
    LANES,
    MATE,
    NEAR,
    NEAREST,
    NO_POINT,
    PointBlocks,
    lay_out,
    point_distance,
    reset_matching,
)


@kernel
def plane_distances(first: Floats, second: Floats, orders: Floats, mates: Indices) -> Floats:
    """W_p of two canonical diagrams (k, 2) and (m, 2), k, m >= 1, for several p in [1, inf].

    `mates` is NO_MATES, or (2, k) for one order: its last row receives the partner of each first point, -1 for the
    diagonal. For p = inf and for a distance of 0, the two rows are a matching that brings all points of `first` to
    their bounds and one that does so for `second`.

    Example:
        >>> first, second = np.array([[0.0, 4.0], [1.0, 2.0]]), np.array([[0.0, 5.0]])
        >>> mates = np.empty((2, 2), np.int64)
        >>> plane_distances(first, second, np.array([1.0]), mates)
        array([1.5])
        >>> mates[1]
        array([ 0, -1])
    """
    rows, columns = lay_out(first), lay_out(second)
    longest = max(len(first), len(second), 3)
    tree = PathTree(np.empty((3, longest)), np.empty((7, longest), np.int64))
    lower_bound = max(_find_nearest(rows, columns, tree), _find_nearest(columns, rows, tree))
    bottleneck = _match(rows, columns, np.inf, 1.0, np.inf, lower_bound, tree, mates)
    distances = np.full(len(orders), bottleneck)
    if bottleneck == 0.0:
        return distances
    scale = 1.0 / max(bottleneck, 1e-300)
    cost_limit = 2.0 * (len(first) + len(second))  # twice the cost of all points at the bottleneck distance
    for index in range(len(orders)):
        order = orders[index]
        if order < AS_GOOD_AS_INFINITE:
            _match(rows, columns, order, scale, cost_limit, 0.0, tree, mates)
            distances[index] = max(bottleneck, _total_cost(rows, columns, order, scale) ** (1.0 / order) / scale)
    return distances


@compiled
def _match(
    rows: PointBlocks,
    columns: PointBlocks,
    order: float,
    scale: float,
    cost_limit: float,
    floor: float,
    tree: PathTree,
    mates: Indices,
) -> float:
    """Bring all points of both diagrams to their bounds; for p = inf, each diagram by its own matching."""
    reset_matching(rows, order, scale, cost_limit)
    reset_matching(columns, order, scale, cost_limit)
    floor = match_rows(rows, columns, order, scale, floor, tree)
    if order == np.inf:
        for row in range(mates.shape[1]):
            mates[0, row] = rows.links[MATE, row]
        reset_matching(rows, order, scale, cost_limit)
        reset_matching(columns, order, scale, cost_limit)
    floor = match_rows(columns, rows, order, scale, floor, tree)
    for row in range(mates.shape[1]):
        mates[1, row] = rows.links[MATE, row]
    return floor


@compiled
def _find_nearest(rows: PointBlocks, columns: PointBlocks, tree: PathTree) -> float:
    """Fill in the nearest columns; return the largest distance from a row to its nearest column or the diagonal."""
    widest = 0.0
    column = 0
    for row in range(rows.links.shape[1]):
        block, lane = row // LANES, row % LANES
        reach = 2.0 * rows.blocks[block, HALF, lane]
        # The nearest column of the previous row is usually close to this row too.
        near = min(reach, point_distance(rows, row, columns, column))
        hits = search_edges(
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
def _total_cost(rows: PointBlocks, columns: PointBlocks, order: float, scale: float) -> float:
    """Cost of the matching."""
    total = 0.0
    for row in range(rows.links.shape[1]):
        column = rows.links[MATE, row]
        length = rows.blocks[row // LANES, HALF, row % LANES]
        if column != NO_POINT:
            length = point_distance(rows, row, columns, column)
        total += power(scale * length, order)
    for column in range(columns.links.shape[1]):
        if columns.links[MATE, column] == NO_POINT:
            total += power(scale * columns.blocks[column // LANES, HALF, column % LANES], order)
    return total
