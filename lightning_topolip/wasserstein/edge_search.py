"""The innermost loop: the points of the other diagram that a path can reach next, and its length there."""

import numpy as np

from lightning_topolip.wasserstein.compilation import compiled, inlined, power
from lightning_topolip.wasserstein.diagram import Floats
from lightning_topolip.wasserstein.path_tree import HIT, HIT_LENGTH, PathTree
from lightning_topolip.wasserstein.point_blocks import (
    BAR,
    BIRTH,
    BOTTOM,
    DEATH,
    LANES,
    LEFT,
    LIGHTEST,
    RIGHT,
    TOP,
    WEIGHT,
)

_DE_BRUIJN = 0x077CB531  # times 1 << lane, its bits 27 to 31 differ for all 32 lanes
_LANE_OF = np.argsort([(_DE_BRUIJN << lane >> 27) & 31 for lane in range(LANES)])


@compiled
def search_edges(
    birth: float,
    death: float,
    blocks: Floats,
    boxes: Floats,
    order: float,
    scale: float,
    base: float,
    best: float,
    tree: PathTree,
) -> int:
    """Find the points that an edge from (birth, death) reaches by a path shorter than `best` and than their bar.

    The length of a path is `base` plus the point's weight plus the edge's cost. The tree receives the points and the
    lengths of the paths to them; their number is returned. Order inf stands for the nearest point alone, in the plain
    distance.
    """
    count, only_nearest = 0, order == np.inf
    if only_nearest:
        order = 1.0
    for group in range(len(boxes)):
        close = _close_blocks(birth, death, boxes, group, order, scale, best - base)
        while close:
            place = _lowest(close)
            close &= close - 1
            block = group * LANES + place
            hits = _hits(birth, death, blocks, block, order, scale, base, best, boxes[group, LIGHTEST, place])
            while hits:
                lane = _lowest(hits)
                hits &= hits - 1
                across, along = abs(birth - blocks[block, BIRTH, lane]), abs(death - blocks[block, DEATH, lane])
                cost = power(scale * max(across, along), order)
                path = base + (blocks[block, WEIGHT, lane] + cost)
                if path < best and path < blocks[block, BAR, lane]:
                    if only_nearest:
                        count, best = 0, path
                    tree.links[HIT, count], tree.lengths[HIT_LENGTH, count] = block * LANES + lane, path
                    count += 1
    return count


@inlined
def _close_blocks(
    birth: float, death: float, boxes: Floats, group: int, order: float, scale: float, limit: float
) -> int:
    """One bit per block of a group, set if a point of it may have weight plus cost below the limit."""
    bits = 0
    for lane in range(LANES):
        left, right = boxes[group, LEFT, lane] - birth, birth - boxes[group, RIGHT, lane]
        below, above = boxes[group, BOTTOM, lane] - death, death - boxes[group, TOP, lane]
        across = left if left > right else right
        along = below if below > above else above
        gap = across if across > along else along
        cost = power(scale * (gap if gap > 0.0 else 0.0), order)
        bits |= int(cost + boxes[group, LIGHTEST, lane] < limit) << lane
    return bits


@inlined
def _hits(
    birth: float,
    death: float,
    blocks: Floats,
    block: int,
    order: float,
    scale: float,
    base: float,
    best: float,
    lightest: float,
) -> int:
    """One bit per point of a block, set if it may be reached; only for p = 1 and 2 are the costs exact."""
    bits = 0
    simple = order == 1.0 or order == 2.0  # noqa: PLR1714 numba cannot compile a set here
    reach = 0.0 if simple else (best - base - lightest) ** (1.0 / order) * (1.0 + 1e-12)
    for lane in range(LANES):
        across, along = abs(birth - blocks[block, BIRTH, lane]), abs(death - blocks[block, DEATH, lane])
        distance = scale * (across if across > along else along)
        weight, bar = blocks[block, WEIGHT, lane], blocks[block, BAR, lane]
        if simple:
            path = base + (weight + power(distance, order))
            bits |= int((path < bar) & (path < best)) << lane
        else:
            bits |= int((base + weight < bar) & (distance <= reach)) << lane
    return bits


@inlined
def _lowest(bits: int) -> int:
    """Lane of the lowest set bit."""
    return int(_LANE_OF[((bits & -bits) * _DE_BRUIJN >> 27) & 31])
