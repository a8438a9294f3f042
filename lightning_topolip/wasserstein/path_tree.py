"""The paths found so far by a search, and a heap of the columns from which it may continue."""

from typing import NamedTuple

import numpy as np

from lightning_topolip.wasserstein.compilation import inlined
from lightning_topolip.wasserstein.diagram import Floats, Indices
from lightning_topolip.wasserstein.point_blocks import BAR, LANES, PointBlocks

TO_COLUMN, TO_ROW, HIT_LENGTH = range(3)  # rows of `lengths`
PARENT, SEEN, HEAP, PLACE, ROW, HIT, COUNT = range(7)  # rows of `links`

SEEN_COUNT, HEAP_COUNT, ROW_COUNT = range(3)
WAITING, DONE = -1, -2  # places of columns outside the heap


class PathTree(NamedTuple):
    """The paths from one row to columns and, through their partners, to other rows.

    Attributes:
        lengths: (3, n) lengths of the paths to the columns, to the rows in the order in which they were reached, and to
            the hits of the last search.
        links: (7, n) the row before each column, the columns that have a path, the heap of waiting columns, their
            places in it, the rows in the order in which they were reached, the hits, and the counts of these.
    """

    lengths: Floats
    links: Indices


@inlined
def extend(columns: PointBlocks, tree: PathTree, row: int, column: int, path: float, floor: float) -> None:
    """Store a shorter path to a column; a path as short as the floor is final."""
    if tree.lengths[TO_COLUMN, column] == np.inf:
        seen = tree.links[COUNT, SEEN_COUNT]
        tree.links[SEEN, seen] = column
        tree.links[COUNT, SEEN_COUNT] = seen + 1
    tree.lengths[TO_COLUMN, column], tree.links[PARENT, column] = path, row
    columns.blocks[column // LANES, BAR, column % LANES] = path if path > floor else -np.inf


@inlined
def push(tree: PathTree, column: int) -> None:
    """Put a column into the heap, or move it up if it is there."""
    path, place = tree.lengths[TO_COLUMN, column], tree.links[PLACE, column]
    if place == WAITING:
        place = tree.links[COUNT, HEAP_COUNT]
        tree.links[COUNT, HEAP_COUNT] = place + 1
    while place > 0:
        above = (place - 1) >> 1
        other = tree.links[HEAP, above]
        if tree.lengths[TO_COLUMN, other] <= path:
            break
        tree.links[HEAP, place], tree.links[PLACE, other] = other, place
        place = above
    tree.links[HEAP, place], tree.links[PLACE, column] = column, place


@inlined
def pop(tree: PathTree) -> None:
    """Take the column with the shortest path out of the heap."""
    tree.links[PLACE, tree.links[HEAP, 0]] = DONE
    size = tree.links[COUNT, HEAP_COUNT] - 1
    tree.links[COUNT, HEAP_COUNT] = size
    column, place = tree.links[HEAP, size], 0
    path = tree.lengths[TO_COLUMN, column]
    while 2 * place + 1 < size:
        below = 2 * place + 1
        other = tree.links[HEAP, below]
        if below + 1 < size and tree.lengths[TO_COLUMN, tree.links[HEAP, below + 1]] < tree.lengths[TO_COLUMN, other]:
            below += 1
            other = tree.links[HEAP, below]
        if tree.lengths[TO_COLUMN, other] >= path:
            break
        tree.links[HEAP, place], tree.links[PLACE, other] = other, place
        place = below
    if size > 0:
        tree.links[HEAP, place], tree.links[PLACE, column] = column, place


@inlined
def forget(columns: PointBlocks, tree: PathTree) -> None:
    """Drop all paths."""
    for index in range(tree.links[COUNT, SEEN_COUNT]):
        column = tree.links[SEEN, index]
        tree.lengths[TO_COLUMN, column], tree.links[PLACE, column] = np.inf, WAITING
        columns.blocks[column // LANES, BAR, column % LANES] = np.inf
