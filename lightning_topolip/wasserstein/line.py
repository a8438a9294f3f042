"""W_p of diagrams whose points all have one birth, such as H0 of a Rips filtration: a problem on a line.

With equal births the distance of two points is the difference of their deaths. Among the points that are
kept, matching them in order is best, so a matching is just the choice of the points that go to the diagonal.
It has a closed form for p = inf, a convex flow finds it for p = 1 (`flow.py`), an alignment for any p
(`alignment.py`).
"""

import numpy as np
from numpy.typing import NDArray

from .alignment import kept_by_alignment
from .diagram import Floats, half_persistence
from .flow import kept_by_flow
from .norm import p_norm, tighten


def on_one_line(first: Floats, second: Floats) -> bool:
    """Whether all points of both diagrams have the same birth, and neither diagram is empty."""
    if not len(first) or not len(second):
        return False
    births = (first[0, 0], first[-1, 0], second[0, 0], second[-1, 0])  # sorted by birth
    return all(birth == births[0] for birth in births)


def line_bottleneck(first: Floats, second: Floats) -> float:
    """W_inf: the k longest of both are matched in order, the others go to the diagonal, for the best k.

    Args:
        first: (k, 2) canonical diagram.
        second: (m, 2) canonical diagram with the same single birth.

    Returns:
        The distance, in the unit of the coordinates.

    >>> line_bottleneck(np.array([[0.0, 1.0], [0.0, 4.0]]), np.array([[0.0, 5.0]]))
    1.0
    """
    first, second = first[::-1], second[::-1]
    count = min(len(first), len(second))
    matched = np.zeros(count + 1)
    np.maximum.accumulate(np.abs(first[:count, 1] - second[:count, 1]), out=matched[1:])
    left = np.zeros(count + 1)
    for points in (first, second):
        half = half_persistence(points)[: count + 1]
        np.maximum(left[: len(half)], half, out=left[: len(half)])
    return float(np.maximum(matched, left).min())


def line_wasserstein(first: Floats, second: Floats, order: float) -> float:
    """W_p, p finite.

    Args:
        first: (k, 2) canonical diagram.
        second: (m, 2) canonical diagram with the same single birth.
        order: p in [1, inf), below 1e13.

    Returns:
        The distance, in the unit of the coordinates.

    >>> line_wasserstein(np.array([[0.0, 1.0], [0.0, 4.0]]), np.array([[0.0, 5.0]]), 1.0)
    1.5
    """
    first, second = first[::-1], second[::-1]
    first_half, second_half = half_persistence(first), half_persistence(second)
    count = min(len(first), len(second))
    apart = np.abs(first[:count, 1] - second[:count, 1])
    paired = apart <= np.maximum(first_half[:count], second_half[:count])
    tail = np.concatenate((first_half[count:], second_half[count:]))

    def lengths_below(ceiling: float) -> Floats:
        start = _forced(apart, paired, first_half, second_half, order=order, ceiling=ceiling)
        if start == count:
            return np.concatenate((apart, tail))
        first_rest, second_rest = first[start:], second[start:]
        if order == 1.0:
            first_kept, second_kept = kept_by_flow(first_rest, second_rest, ceiling)
        else:
            first_kept, second_kept = kept_by_alignment(first_rest, second_rest, order, ceiling)
        between = np.abs(first_rest[first_kept, 1] - second_rest[second_kept, 1])
        left = first_half[start:][~first_kept], second_half[start:][~second_kept]
        return np.concatenate((apart[:start], between, *left))

    guess = np.concatenate((apart[paired], first_half[:count][~paired], second_half[:count][~paired], tail))
    size = len(first) + len(second)
    ceiling = min(p_norm(guess, order), size ** (1.0 / order) * line_bottleneck(first[::-1], second[::-1]))
    return tighten(lengths_below, ceiling, float(max(first_half[0], second_half[0])), order)


def _forced(
    apart: Floats,
    paired: NDArray[np.bool_],
    first_half: Floats,
    second_half: Floats,
    *,
    order: float,
    ceiling: float,
) -> int:
    """How many of the longest points of both sides every optimal matching pairs in order.

    Say nothing has gone to the diagonal so far, and the diagonal cost of the longer of the next two is above
    what the rest is known to need. Then that one is matched, and best with the other: all later ones are no
    nearer to it and no cheaper to keep.
    """
    count = len(apart)
    with np.errstate(over="ignore", under="ignore"):
        first_cost, second_cost = (first_half / ceiling) ** order, (second_half / ceiling) ** order
        needs = np.where(paired, (apart / ceiling) ** order, first_cost[:count] + second_cost[:count])
    needs[-1] += first_cost[count:].sum() + second_cost[count:].sum()
    bound = np.minimum(np.cumsum(needs[::-1])[::-1], 1.0) * (1.0 + 1e-9)
    free = np.maximum(first_cost[:count], second_cost[:count]) <= bound
    return int(np.argmax(free)) if free.any() else count
