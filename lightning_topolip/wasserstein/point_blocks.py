"""A diagram laid out for searches: blocks of 32 points with consecutive births, and a bounding box per block."""

from typing import NamedTuple

import numpy as np

from lightning_topolip.wasserstein.compilation import compiled, inlined, power
from lightning_topolip.wasserstein.diagram import Floats, Indices

LANES = 32
NO_POINT = -1

# Rows of a block: the point; minus its potential; the length below which a path to it must stay; its distance to the
# diagonal and the cost of that; its distance to the nearest point of the other diagram, at most twice that to the
# diagonal.
BIRTH, DEATH, WEIGHT, BAR, HALF, COST, NEAR = range(7)
LEFT, RIGHT, BOTTOM, TOP, LIGHTEST = range(5)  # rows of a group of bounding boxes
NEAREST, MATE = range(2)  # rows of `links`


class PointBlocks(NamedTuple):
    """One of the two diagrams, k points, and its side of a matching.

    Attributes:
        blocks: (b, 7, 32) points, the last block filled up with points out of reach.
        boxes: (g, 5, 32) bounds of the blocks and their smallest weights, in groups of 32.
        links: (2, k) nearest and matched point of the other diagram, -1 for none.
    """

    blocks: Floats
    boxes: Floats
    links: Indices


@compiled
def lay_out(points: Floats) -> PointBlocks:
    """Lay out a canonical diagram (k, 2), k >= 1; its nearest and matched points are not set."""
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
    return PointBlocks(blocks, boxes, np.empty((2, count), np.int64))


@compiled
def reset_matching(points: PointBlocks, order: float, scale: float, cost_limit: float) -> None:
    """Unmatch all points and set each potential to half the cost to the nearest point (0 for p = inf)."""
    for i in range(points.links.shape[1]):
        block, lane = i // LANES, i % LANES
        cost, potential = scale * points.blocks[block, HALF, lane], 0.0
        if order < np.inf:
            cost = min(power(cost, order), cost_limit)
            potential = min(cost, 0.5 * power(scale * points.blocks[block, NEAR, lane], order))
        points.blocks[block, COST, lane], points.blocks[block, WEIGHT, lane] = cost, -potential
        points.links[MATE, i] = NO_POINT


@inlined
def point_distance(rows: PointBlocks, row: int, columns: PointBlocks, column: int) -> float:
    """Distance of a row and a column in the L-infinity metric."""
    here, lane, there, place = row // LANES, row % LANES, column // LANES, column % LANES
    across = abs(rows.blocks[here, BIRTH, lane] - columns.blocks[there, BIRTH, place])
    along = abs(rows.blocks[here, DEATH, lane] - columns.blocks[there, DEATH, place])
    return float(max(across, along))


@inlined
def update_box(points: PointBlocks, block: int) -> None:
    """Recompute the smallest weight of a block."""
    lightest = np.inf
    for lane in range(LANES):
        lightest = min(lightest, points.blocks[block, WEIGHT, lane])
    points.boxes[block // LANES, LIGHTEST, block % LANES] = lightest
