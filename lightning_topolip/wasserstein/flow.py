"""W_1 on a line: which points to keep, as a flow with an exit to the diagonal at every point, in O(n log n).

Walk up the line with f, the number of points of the first diagram that wait for a partner minus those of the
second. A gap costs |f| times its width, a point that leaves costs its half persistence. The least cost so far
is convex and piecewise linear in f with integer breakpoints, so it is kept as its sorted slopes ("slope
trick"): a point inserts one slope, a gap shifts the slopes of f < 0 down and those of f >= 0 up.
"""

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

from .diagram import Floats, half_persistence

Mask = NDArray[np.bool_]


def kept_by_flow(first: Floats, second: Floats, ceiling: float) -> tuple[Mask, Mask]:
    """Points that an optimal W_1 matching keeps; it matches them in order.

    Args:
        first: (k, 2) points with one birth, deaths descending.
        second: (m, 2) points with the same birth, deaths descending.
        ceiling: Upper bound of the distance; longer costs are cut to twice it.

    Returns:
        Two masks, (k,) and (m,), with the same number of True.
    """
    half = np.concatenate((half_persistence(first), half_persistence(second)))
    unit = min(ceiling, float(half.max()))
    position = np.concatenate((first[:, 1], second[:, 1]))
    walk = np.argsort(position, kind="stable")
    cut = 2.0 * ceiling / unit
    gaps = np.minimum(np.diff(position[walk], prepend=position[walk[0]]) / unit, cut)
    exits = np.minimum(half[walk] / unit, cut)
    supply = walk < len(first)
    kept = np.zeros(len(position), bool)
    kept[walk] = _kept(gaps.tolist(), exits.tolist(), supply.tolist())
    return kept[: len(first)], kept[len(first) :]


def _kept(gaps: list[float], exits: list[float], supply: list[bool]) -> list[bool]:
    """Decide for every point on the walk, forwards for the slopes and backwards for the flow.

    `thresholds[i]` is the flow after point i up to which the inserted slope is not used: a supply carries on
    above it, a demand takes from the flow at or below it.
    """
    below: list[float] = []  # slopes at f < 0, ascending, each plus `shift`
    above: list[float] = []  # slopes at f >= 0, ascending, each minus `shift`
    shift = 0.0
    thresholds = []
    for gap, leave, is_supply in zip(gaps, exits, supply, strict=True):
        shift += gap
        slope = -leave if is_supply else leave
        start = -len(below) if is_supply else -len(below) - 1
        if below and slope < below[-1] - shift:
            place = bisect_left(below, slope + shift)
            below.insert(place, slope + shift)
        else:
            place = len(below) + bisect_left(above, slope - shift)
            insort(above, slope - shift)
        thresholds.append(start + place)
        if len(below) > -start:
            above.insert(0, below.pop() - 2.0 * shift)
        elif len(below) < -start:
            below.append(above.pop(0) + 2.0 * shift)
    kept = []
    flow = 0
    for threshold, is_supply in zip(reversed(thresholds), reversed(supply), strict=True):
        keep = (flow > threshold) == is_supply
        if keep:
            flow += -1 if is_supply else 1
        kept.append(keep)
    return kept[::-1]
