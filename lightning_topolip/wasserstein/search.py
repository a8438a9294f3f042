"""The one inner loop: which points of the other diagram does a path reach from here, and how long is it then."""

import numpy as np

from .compilation import compiled, inlined, power
from .diagram import Floats
from .side import BAR, BIRTH, BOTTOM, DEATH, LANES, LEFT, LIGHTEST, RIGHT, TOP, WEIGHT
from .tree import HIT, HIT_LENGTH, Tree

_DE_BRUIJN = 0x077CB531  # times 1 << lane, its bits 27 to 31 differ for all 32 lanes
_LANE_OF = np.argsort([(_DE_BRUIJN << lane >> 27) & 31 for lane in range(LANES)])


@compiled
def search(
    birth: float,
    death: float,
    blocks: Floats,
    boxes: Floats,
    order: float,
    scale: float,
    base: float,
    best: float,
    tree: Tree,
) -> int:
    """Find all points that an edge from (birth, death) reaches with a path below `best` and below their bar.

    Args:
        birth: Where the edges start.
        death: Likewise.
        blocks: Points of the other side.
        boxes: Their bounds.
        order: Order p of the edges' cost; inf for just the nearest point, in the plain distance.
        scale: Factor of all distances.
        base: Added to weight plus cost to make the length of a path.
        best: Paths must be shorter.
        tree: Receives the hits and the lengths of the paths to them.

    Returns:
        How many points were found.
    """
    found, only_nearest = 0, order == np.inf
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
                        found, best = 0, path
                    tree.links[HIT, found], tree.lengths[HIT_LENGTH, found] = block * LANES + lane, path
                    found += 1
    return found


@inlined
def _close_blocks(
    birth: float, death: float, boxes: Floats, group: int, order: float, scale: float, limit: float
) -> int:
    """One bit for each block of a group that may hold a point with weight plus cost below the limit."""
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
    """One bit for each point of a block that may be reached; a power of no simple order is left to the caller."""
    bits = 0
    simple = order == 1.0 or order == 2.0  # noqa: PLR1714 numba compiles no set here
    reach = 0.0 if simple else (best - base - lightest) ** (1.0 / order) * (1.0 + 1e-12)
    for lane in range(LANES):
        across, along = abs(birth - blocks[block, BIRTH, lane]), abs(death - blocks[block, DEATH, lane])
        apart = scale * (across if across > along else along)
        weight, bar = blocks[block, WEIGHT, lane], blocks[block, BAR, lane]
        if simple:
            path = base + (weight + power(apart, order))
            bits |= int((path < bar) & (path < best)) << lane
        else:
            bits |= int((base + weight < bar) & (apart <= reach)) << lane
    return bits


@inlined
def _lowest(bits: int) -> int:
    """Lane of the lowest bit that is set."""
    return int(_LANE_OF[((bits & -bits) * _DE_BRUIJN >> 27) & 31])
