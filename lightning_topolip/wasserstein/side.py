"""A diagram laid out for searches: points in blocks of 32 with consecutive births, and a box around each block."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compilation import compiled, inlined, power
from .diagram import Floats

Indices = NDArray[np.int64]

LANES = 32
NO_POINT = -1

# Rows of a block: the point; minus its potential; a length that a path to it must stay below; its distance to the
# diagonal and what that costs; its distance to the nearest point of the other side, at most twice that to the diagonal.
BIRTH, DEATH, WEIGHT, BAR, HALF, COST, NEAR = range(7)
LEFT, RIGHT, BOTTOM, TOP, LIGHTEST = range(5)  # rows of a group of boxes
NEAREST, MATE = range(2)  # rows of the links


class Side(NamedTuple):
    """One of the two diagrams, k points, and its part of a matching.

    Attributes:
        blocks: (b, 7, 32) points, the last block filled up with points out of reach.
        boxes: (g, 5, 32) bounds of the blocks and their smallest weights, in groups of 32.
        links: (2, k) nearest and matched point of the other side, -1 for none.
    """

    blocks: Floats
    boxes: Floats
    links: Indices


@compiled
def make_side(points: Floats) -> Side:
    """Lay out a canonical diagram (k, 2) without matching, k >= 1."""
    count = len(points)
    size = (count + LANES - 1) // LANES
    blocks = np.full((size, 7, LANES), np.inf)
    boxes = np.full(((size + LANES - 1) // LANES, 5, LANES), np.inf)
    for i in range(count):
        birth, death = points[i, 0], points[i, 1]
        block, lane = i // LANES, i % LANES
        blocks[block, BIRTH, lane], blocks[block, DEATH, lane] = birth, death
        blocks[block, WEIGHT, lane], blocks[block, HALF, lane] = 0.0, (death - birth) / 2.0
        group, place = block // LANES, block % LANES
        if lane == 0:
            boxes[group, LEFT, place], boxes[group, LIGHTEST, place] = birth, 0.0
            boxes[group, BOTTOM, place] = boxes[group, TOP, place] = death
        boxes[group, RIGHT, place] = birth  # births ascend
        boxes[group, BOTTOM, place] = min(boxes[group, BOTTOM, place], death)
        boxes[group, TOP, place] = max(boxes[group, TOP, place], death)
    return Side(blocks, boxes, np.empty((2, count), np.int64))


@compiled
def begin_matching(side: Side, order: float, scale: float, dearest: float) -> None:
    """Begin anew: nothing matched, potentials of half the way to the nearest point (of 0 for p = inf).

    Args:
        side: Changed in place.
        order: p in [1, inf].
        scale: Factor of all distances.
        dearest: Costs of the diagonal are cut to this.
    """
    for i in range(side.links.shape[1]):
        block, lane = i // LANES, i % LANES
        cost, potential = scale * side.blocks[block, HALF, lane], 0.0
        if order < np.inf:
            cost = min(power(cost, order), dearest)
            potential = min(cost, 0.5 * power(scale * side.blocks[block, NEAR, lane], order))
        side.blocks[block, COST, lane], side.blocks[block, WEIGHT, lane] = cost, -potential
        side.links[MATE, i] = NO_POINT


@inlined
def apart(rows: Side, row: int, columns: Side, column: int) -> float:
    """Distance of two points in the L-infinity metric."""
    here, lane, there, place = row // LANES, row % LANES, column // LANES, column % LANES
    across = abs(rows.blocks[here, BIRTH, lane] - columns.blocks[there, BIRTH, place])
    along = abs(rows.blocks[here, DEATH, lane] - columns.blocks[there, DEATH, place])
    return float(max(across, along))


@inlined
def update_box(side: Side, block: int) -> None:
    """Set the smallest weight of a block again."""
    lightest = np.inf
    for lane in range(LANES):
        lightest = min(lightest, side.blocks[block, WEIGHT, lane])
    side.boxes[block // LANES, LIGHTEST, block % LANES] = lightest
