"""The paths that a search has found so far, and a heap of the columns from which it may go on."""

from typing import NamedTuple

import numpy as np

from .compilation import inlined
from .diagram import Floats
from .side import BAR, LANES, Indices, Side

TO_COLUMN, TO_ROW, HIT_LENGTH = range(3)  # rows of the lengths of a tree
PARENT, SEEN, HEAP, PLACE, ROW, HIT, COUNT = range(7)  # rows of its links

SEEN_COUNT, HEAP_COUNT, ROW_COUNT = range(3)
WAITING, DONE = -1, -2  # places of columns that are not in the heap


class Tree(NamedTuple):
    """The paths from one row to columns and, by their mates, to other rows.

    Attributes:
        lengths: (3, n) lengths of the paths to columns, to the rows in the order they were reached, and to the hits of
            the last search.
        links: (7, n) the row before a column, the columns with a path, the heap of those that wait, their places in
            it, the rows in the order they were reached, the hits, and how many there are of these.
    """

    lengths: Floats
    links: Indices


@inlined
def extend(columns: Side, tree: Tree, row: int, column: int, path: float, floor: float) -> None:
    """Note a shorter path to a column. One as short as the floor cannot be bettered."""
    if tree.lengths[TO_COLUMN, column] == np.inf:
        seen = tree.links[COUNT, SEEN_COUNT]
        tree.links[SEEN, seen] = column
        tree.links[COUNT, SEEN_COUNT] = seen + 1
    tree.lengths[TO_COLUMN, column], tree.links[PARENT, column] = path, row
    columns.blocks[column // LANES, BAR, column % LANES] = path if path > floor else -np.inf


@inlined
def push(tree: Tree, column: int) -> None:
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
def pop(tree: Tree) -> None:
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
def forget(columns: Side, tree: Tree) -> None:
    """Drop all paths."""
    for index in range(tree.links[COUNT, SEEN_COUNT]):
        column = tree.links[SEEN, index]
        tree.lengths[TO_COLUMN, column], tree.links[PLACE, column] = np.inf, WAITING
        columns.blocks[column // LANES, BAR, column % LANES] = np.inf
