"""An optimal matching, built from one shortest augmenting path after the other."""

import numpy as np

from lightning_topolip.wasserstein.compilation import compiled, inlined, power
from lightning_topolip.wasserstein.edge_search import search_edges
from lightning_topolip.wasserstein.path_tree import (
    COUNT,
    DONE,
    HEAP,
    HEAP_COUNT,
    HIT,
    HIT_LENGTH,
    PARENT,
    PLACE,
    ROW,
    ROW_COUNT,
    SEEN,
    SEEN_COUNT,
    TO_COLUMN,
    TO_ROW,
    WAITING,
    PathTree,
    extend,
    forget,
    pop,
    push,
)
from lightning_topolip.wasserstein.point_blocks import (
    BAR,
    BIRTH,
    COST,
    DEATH,
    LANES,
    LIGHTEST,
    MATE,
    NEAREST,
    NO_POINT,
    WEIGHT,
    PointBlocks,
    point_distance,
    update_box,
)

_STRIDE = 2_654_435_761  # a prime: such steps visit all points once, and neighbours at very different times


@compiled
def match_rows(
    rows: PointBlocks, columns: PointBlocks, order: float, scale: float, floor: float, tree: PathTree
) -> float:
    """Match every row or send it to the diagonal: for the least sum of costs, or for p = inf the least longest edge.

    No path is shorter than `floor`, which is 0 for finite p and a lower bound of the result for p = inf. The tree is
    scratch space. Returns the floor, for p = inf raised to the longest edge that was needed.
    """
    for block in range(len(columns.blocks)):
        update_box(columns, block)
    for column in range(columns.links.shape[1]):
        tree.lengths[TO_COLUMN, column], tree.links[PLACE, column] = np.inf, WAITING
    count = rows.links.shape[1]
    start = 0
    for _ in range(count):
        start = (start + _STRIDE) % count
        block, lane = start // LANES, start % LANES
        best = rows.blocks[block, COST, lane] + rows.blocks[block, WEIGHT, lane]
        if rows.links[MATE, start] != NO_POINT or best <= floor:
            continue
        last, end = start, rows.links[NEAREST, start]
        if end != NO_POINT and columns.links[MATE, end] == NO_POINT:
            path = scale * point_distance(rows, start, columns, end)
            if order < np.inf:
                weight = columns.blocks[end // LANES, WEIGHT, end % LANES]
                path = rows.blocks[block, WEIGHT, lane] + (weight + power(path, order))
            if path < best:
                best, last = path, NO_POINT
                tree.links[PARENT, end] = start
        if best > floor:
            best, last, end = _shortest_path(rows, columns, order, scale, floor, tree, start, best, last, end)
            if order == np.inf:
                floor = best
            else:
                _shift_potentials(rows, columns, tree, best, last)
            forget(columns, tree)
        _augment(rows, columns, tree, start, last, end)
    return floor


@inlined
def _shortest_path(
    rows: PointBlocks,
    columns: PointBlocks,
    order: float,
    scale: float,
    floor: float,
    tree: PathTree,
    start: int,
    best: float,
    last: int,
    end: int,
) -> tuple[float, int, int]:
    """Search, as Dijkstra does, from a row to a free column or to a row that can go to the diagonal instead.

    `best` is the length of the best path so far, `last` its last row if that row goes to the diagonal (else -1), and
    `end` its last column if that one is free. Returns the same three of the shortest path; its edges are in the tree.
    """
    row, walked = start, floor
    tree.links[ROW, 0], tree.lengths[TO_ROW, 0] = start, floor
    tree.links[COUNT, SEEN_COUNT], tree.links[COUNT, HEAP_COUNT], tree.links[COUNT, ROW_COUNT] = 0, 0, 1
    while best > floor:
        block, lane = row // LANES, row % LANES
        hits = search_edges(
            rows.blocks[block, BIRTH, lane],
            rows.blocks[block, DEATH, lane],
            columns.blocks,
            columns.boxes,
            1.0 if order == np.inf else order,
            scale,
            0.0 if order == np.inf else walked + rows.blocks[block, WEIGHT, lane],
            best,
            tree,
        )
        for hit in range(hits):
            column, path = tree.links[HIT, hit], max(walked, tree.lengths[HIT_LENGTH, hit])
            if path < best and path < tree.lengths[TO_COLUMN, column]:
                extend(columns, tree, row, column, path, floor)
                if columns.links[MATE, column] == NO_POINT:
                    best, last, end = path, NO_POINT, column
                else:
                    push(tree, column)
        column = tree.links[HEAP, 0]
        if tree.links[COUNT, HEAP_COUNT] == 0 or tree.lengths[TO_COLUMN, column] >= best:
            break
        pop(tree)
        columns.blocks[column // LANES, BAR, column % LANES] = -np.inf
        row, walked = columns.links[MATE, column], tree.lengths[TO_COLUMN, column]
        reached = tree.links[COUNT, ROW_COUNT]
        tree.links[ROW, reached], tree.lengths[TO_ROW, reached] = row, walked
        tree.links[COUNT, ROW_COUNT] = reached + 1
        slack = rows.blocks[row // LANES, COST, row % LANES] + rows.blocks[row // LANES, WEIGHT, row % LANES]
        path = max(walked, slack) if order == np.inf else walked + slack
        if path < best:
            best, last = path, row
    return best, last, end


@inlined
def _shift_potentials(rows: PointBlocks, columns: PointBlocks, tree: PathTree, best: float, last: int) -> None:
    """Make the edges of all paths shorter than the best one tight, without giving any edge a negative length."""
    for index in range(tree.links[COUNT, ROW_COUNT]):
        row = tree.links[ROW, index]
        block, lane = row // LANES, row % LANES
        cost, weight = rows.blocks[block, COST, lane], rows.blocks[block, WEIGHT, lane]
        weight -= best - tree.lengths[TO_ROW, index]
        rows.blocks[block, WEIGHT, lane] = -cost if row == last else max(weight, -cost)
    for index in range(tree.links[COUNT, SEEN_COUNT]):
        column = tree.links[SEEN, index]
        if tree.links[PLACE, column] == DONE:
            block, lane = column // LANES, column % LANES
            weight = columns.blocks[block, WEIGHT, lane]
            columns.blocks[block, WEIGHT, lane] = weight + (best - tree.lengths[TO_COLUMN, column])
            if weight == columns.boxes[block // LANES, LIGHTEST, block % LANES]:
                update_box(columns, block)


@inlined
def _augment(rows: PointBlocks, columns: PointBlocks, tree: PathTree, start: int, last: int, end: int) -> None:
    """Match each row of the path with the column after it; the last row may lose its partner to the diagonal."""
    row, column = last, end
    if last != NO_POINT:
        column = rows.links[MATE, last]
        rows.links[MATE, last] = NO_POINT
    while row != start:
        row = tree.links[PARENT, column]
        before = rows.links[MATE, row]
        rows.links[MATE, row], columns.links[MATE, column] = column, row
        column = before
