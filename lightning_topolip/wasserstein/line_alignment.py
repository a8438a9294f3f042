"""W_p of two diagrams whose points all have the same birth, such as H0 of a Rips filtration: a problem on a line.

With equal births, the distance of two points is the difference of their deaths, and it is optimal to match the points
that are not sent to the diagonal in order. So a matching is an alignment of two sorted lists: each step matches the
next point of both lists or sends one point to the diagonal. For p = inf there is a closed form. For finite p the least
cost of aligning the first i points with the first j follows from three neighbouring cells; all cells with the same
i + j are independent of each other.

An alignment that is o steps away from the straight one has sent o points of one list to the diagonal, and o minus the
difference in length of the other. If these points alone cost more than some known alignment, the cell can be skipped
(Ukkonen, "Algorithms for approximate string matching", DOI 10.1016/S0019-9958(85)80046-2).
"""

import numpy as np

from lightning_topolip.wasserstein.compilation import compiled, kernel, power
from lightning_topolip.wasserstein.diagram import DIAGONAL, Floats, Indices
from lightning_topolip.wasserstein.p_norm import AS_GOOD_AS_INFINITE


@kernel
def line_distances(first: Floats, second: Floats, orders: Floats, mates: Indices) -> Floats:
    """W_p of two canonical diagrams (k, 2) and (m, 2) with one common birth, k, m >= 1, for several p in [1, inf].

    `mates` is NO_MATES, or (2, k) for one order: its last row receives the partner of each first point, -1 for the
    diagonal.

    Example:
        >>> first, second = np.array([[0.0, 1.0], [0.0, 4.0]]), np.array([[0.0, 5.0]])
        >>> mates = np.empty((2, 2), np.int64)
        >>> line_distances(first, second, np.array([1.0]), mates)
        array([1.5])
        >>> mates[1]
        array([-1,  0])
    """
    bottleneck, kept = _bottleneck(first, second)
    for row in range(mates.shape[1]):
        above = len(first) - row
        mates[1, row] = len(second) - above if above <= kept else DIAGONAL
    distances = np.full(len(orders), bottleneck)
    if bottleneck == 0.0:
        return distances
    scale = 1.0 / max(bottleneck, 1e-300)
    cost_limit = 2.0 * (len(first) + len(second))  # twice the cost of all points at the bottleneck distance
    for index, order in enumerate(orders):
        if order < AS_GOOD_AS_INFINITE:
            costs = _diagonal_costs(first, order, scale, cost_limit), _diagonal_costs(second, order, scale, cost_limit)
            ceiling = _straight_cost(first, second, costs, order, scale) * (1.0 + 1e-9)
            low, high = -_largest_offset(costs[0], costs[1], ceiling), _largest_offset(costs[1], costs[0], ceiling)
            least = _least_cost(first, second, costs, order, scale, low, high, mates)
            distances[index] = max(bottleneck, least ** (1.0 / order) / scale)
    return distances


@compiled
def _bottleneck(first: Floats, second: Floats) -> tuple[float, int]:
    """W_inf, and how many of the most persistent points of both it matches in order; the diagonal takes the others."""
    rows, columns = len(first), len(second)
    best, longest, matched = np.inf, 0.0, 0
    for kept in range(min(rows, columns) + 1):
        left = 0.0
        if kept < rows:
            left = (first[rows - 1 - kept, 1] - first[rows - 1 - kept, 0]) / 2.0
        if kept < columns:
            left = max(left, (second[columns - 1 - kept, 1] - second[columns - 1 - kept, 0]) / 2.0)
        reached = max(longest, left)
        if reached <= best:
            best, matched = reached, kept
        if kept < min(rows, columns):
            longest = max(longest, abs(first[rows - 1 - kept, 1] - second[columns - 1 - kept, 1]))
    return best, matched


@compiled
def _diagonal_costs(points: Floats, order: float, scale: float, cost_limit: float) -> Floats:
    costs = np.full(len(points), 0.0)
    for i in range(len(points)):
        costs[i] = min(power(scale * (points[i, 1] - points[i, 0]) / 2.0, order), cost_limit)
    return costs


@compiled
def _straight_cost(first: Floats, second: Floats, costs: tuple[Floats, Floats], order: float, scale: float) -> float:
    """Cost of pairing the most persistent points of both in order, each pair matched or sent to the diagonal."""
    rows, columns = len(first), len(second)
    total = 0.0
    for i in range(rows - columns):
        total += costs[0][i]
    for j in range(columns - rows):
        total += costs[1][j]
    for back in range(1, min(rows, columns) + 1):
        matched = power(scale * abs(first[rows - back, 1] - second[columns - back, 1]), order)
        total += min(matched, costs[0][rows - back] + costs[1][columns - back])
    return total


@compiled
def _largest_offset(ahead: Floats, behind: Floats, ceiling: float) -> int:
    """How far an alignment of cost at most ``ceiling`` can be ahead in one list; the costs of the diagonal ascend."""
    surplus = len(ahead) - len(behind)
    spent = 0.0
    for extra in range(-surplus):
        spent += behind[extra]
    for passed in range(len(ahead)):
        spent += ahead[passed]
        if 0 <= passed - surplus < len(behind):
            spent += behind[passed - surplus]
        if passed >= surplus and spent > ceiling:
            return passed
    return len(ahead)


@compiled
def _least_cost(
    first: Floats,
    second: Floats,
    costs: tuple[Floats, Floats],
    order: float,
    scale: float,
    low: int,
    high: int,
    mates: Indices,
) -> float:
    """Least cost of an alignment with j - i in [low, high] throughout, one antidiagonal i + j after the other.

    The second list is reversed, so that both lists are read forwards along an antidiagonal. `least[slot, i + 1]` is the
    least cost of the cell (i, step - i), and infinite on both sides of the cells of that step. Three steps are stored
    at a time, or all of them if the partners are wanted.
    """
    rows, columns = len(first), len(second)
    death, cost = np.full(rows + 1, 0.0), np.full(rows + 1, 0.0)
    for i in range(rows):
        death[i + 1], cost[i + 1] = first[i, 1], costs[0][i]
    death_back, cost_back = np.full(columns + 1, 0.0), np.full(columns + 1, 0.0)
    for j in range(columns):
        death_back[columns - 1 - j], cost_back[columns - 1 - j] = second[j, 1], costs[1][j]
    stored = rows + columns + 1 if mates.shape[1] else 3
    least = np.empty((stored, rows + 3))  # only the cells in use take up memory
    here, before, slot = least[0], least[stored - 1], 0
    for i in range(3):
        here[i] = before[i] = np.inf
    here[1] = 0.0
    for step in range(1, rows + columns + 1):
        start = max(0, step - columns, (step - high + 1) // 2)
        stop = min(rows, step, (step - low) // 2) + 1
        slot = slot + 1 if slot + 1 < stored else 0
        earlier, before, here = before, here, least[slot]
        here[start] = here[stop + 1] = np.inf
        shift = columns - step
        reached, matching = here[start + 1 : stop + 1], earlier[start:stop]
        dropping, dropping_back = before[start:stop], before[start + 1 : stop + 1]
        x, y = death[start:stop], death_back[start + shift : stop + shift]
        leaving, leaving_back = cost[start:stop], cost_back[start + shift : stop + shift]
        for i in range(stop - start):
            best = matching[i] + power(scale * abs(x[i] - y[i]), order)
            drop, drop_back = dropping[i] + leaving[i], dropping_back[i] + leaving_back[i]
            best = best if best < drop else drop
            reached[i] = best if best < drop_back else drop_back
    if mates.shape[1]:
        _follow_back(first, second, costs, order, scale, least, mates)
    return float(here[rows + 1])


@compiled
def _follow_back(
    first: Floats,
    second: Floats,
    costs: tuple[Floats, Floats],
    order: float,
    scale: float,
    least: Floats,
    mates: Indices,
) -> None:
    """Read the partners off the least costs of all cells, from the last to the first."""
    row, column = len(first), len(second)
    while row > 0:
        before = least[row + column - 1]
        drop, drop_back, match = before[row] + costs[0][row - 1], np.inf, np.inf
        if column > 0:
            drop_back = before[row + 1] + costs[1][column - 1]
            match = least[row + column - 2, row] + power(scale * abs(first[row - 1, 1] - second[column - 1, 1]), order)
        if drop_back < min(drop, match):
            column -= 1
            continue
        row -= 1
        mates[1, row] = DIAGONAL
        if match <= drop:
            column -= 1
            mates[1, row] = column
