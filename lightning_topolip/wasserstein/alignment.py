"""W_p on a line, any finite p: which points to keep, by aligning the two sorted lists in a band.

Walking down both lists, each step matches the next of both or sends one to the diagonal. An alignment that
leaves the band of k steps around the straight one has more than k points of each side on the diagonal, so a
result below the sum of the k + 1 smallest diagonal costs of both sides is optimal (Ukkonen's certificate).
"""

import numpy as np
from numpy.typing import NDArray

from .diagram import Floats, half_persistence

Mask = NDArray[np.bool_]

_BAND = 12


def kept_by_alignment(first: Floats, second: Floats, order: float, ceiling: float) -> tuple[Mask, Mask]:
    """Points that an optimal W_p matching keeps; it matches them in order.

    Args:
        first: (k, 2) points with one birth, deaths descending, k >= 1.
        second: (m, 2) points with the same birth, deaths descending, m >= 1.
        order: p in [1, inf).
        ceiling: Upper bound of the distance; longer costs are cut to twice its p-th power.

    Returns:
        Two masks, (k,) and (m,), with the same number of True.
    """
    first_half, second_half = half_persistence(first), half_persistence(second)
    unit = min(ceiling, float(max(first_half[0], second_half[0])))
    with np.errstate(over="ignore", under="ignore"):
        cut = 2.0 * np.float64(ceiling / unit) ** order
        first_cost = np.minimum((first_half / unit) ** order, cut)
        second_cost = np.minimum((second_half / unit) ** order, cut)
    widest = min(len(first), len(second))
    outside = np.append(np.cumsum(first_cost[::-1])[:widest] + np.cumsum(second_cost[::-1])[:widest], np.inf)
    band = min(_BAND, widest)
    first_place, second_place = first[:, 1] / unit, second[:, 1] / unit
    while True:
        value, moves = _align(first_place, second_place, first_cost, second_cost, order=order, band=band)
        if value < outside[band]:
            return _trace(moves, len(first), len(second), band)
        band = int(np.searchsorted(outside, value, side="right"))


def _align(
    first: Floats, second: Floats, first_cost: Floats, second_cost: Floats, *, order: float, band: int
) -> tuple[float, NDArray[np.int8]]:
    """Least cost in the band, and for each cell the last move: 0 match, 1 drop of first, 2 drop of second.

    Row i is the least cost of aligning the first i points with the first j, for the j in the band. Drops of
    the second along a row are a running minimum once the costs of all drops up to j are taken off.
    """
    rows, columns = len(first), len(second)
    low, high = min(0, columns - rows) - band, max(0, columns - rows) + band
    width = high - low + 1
    target = np.arange(rows + 1)[:, None] + np.arange(low, high + 1)
    valid = (target >= 0) & (target <= columns)
    reached = np.clip(target, 0, columns)
    drops = np.concatenate(([0.0], np.cumsum(second_cost)))[reached]
    with np.errstate(over="ignore", under="ignore"):
        steps = np.abs(first[:, None] - second[np.maximum(reached[1:] - 1, 0)]) ** order
    steps[~valid[1:] | (target[1:] == 0)] = np.inf
    drops[~valid] = np.inf
    moves = np.empty((rows + 1, width), np.int8)
    moves[0] = 2
    least = drops[0].copy()
    padded = np.full(width + 1, np.inf)
    drops[~valid] = 0.0
    for i, cost in enumerate(first_cost.tolist(), start=1):
        matched = least + steps[i - 1]
        padded[:width] = least
        dropped = padded[1:] + cost
        dropped[~valid[i]] = np.inf
        here = np.minimum(matched, dropped) - drops[i]
        best = np.minimum.accumulate(here)
        moves[i] = np.where(best < here, 2, dropped < matched)
        least = best + drops[i]
    return float(least[columns - rows - low]), moves


def _trace(moves: NDArray[np.int8], rows: int, columns: int, band: int) -> tuple[Mask, Mask]:
    low = min(0, columns - rows) - band
    width = moves.shape[1]
    codes = moves.tobytes()
    first_kept, second_kept = np.zeros(rows, bool), np.zeros(columns, bool)
    i, j = rows, columns
    while i or j:
        move = codes[i * width + j - i - low]
        if move == 0:
            first_kept[i - 1] = second_kept[j - 1] = True
        i -= move != 2
        j -= move != 1
    return first_kept, second_kept
