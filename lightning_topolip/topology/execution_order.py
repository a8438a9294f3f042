"""One order of the layers of several analyses, each of which saw some of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise


def merged_order(orders: Sequence[Iterable[str]]) -> list[str]:
    """Merge orders into one that keeps each of them; where they contradict each other, the later one holds.

    Names that no order relates come as they were first seen.

    Args:
        orders: The names in the order of execution, of the earliest analysis first.

    Returns:
        Every name once.

    Example:
        >>> merged_order([["stem", "head"], ["stem", "grown", "head"], ["stem", "later", "head"]])
        ['stem', 'grown', 'later', 'head']
        >>> merged_order([["a", "b"], ["b", "a"]])
        ['b', 'a']
    """
    sequences = [list(order) for order in orders]
    names = list(dict.fromkeys(name for sequence in sequences for name in sequence))
    after: dict[str, set[str]] = {name: set() for name in names}
    for sequence in dict.fromkeys(map(tuple, reversed(sequences))):
        for earlier, later in pairwise(sequence):
            if later not in after[earlier] and not _leads_to(later, earlier, after):
                after[earlier].add(later)
    return _sorted(names, after)


def _leads_to(start: str, end: str, after: dict[str, set[str]]) -> bool:
    waiting, seen = [start], {start}
    while waiting:
        name = waiting.pop()
        if name == end:
            return True
        waiting += after[name] - seen
        seen |= after[name]
    return False


def _sorted(names: list[str], after: dict[str, set[str]]) -> list[str]:
    """Topological order; of the names that could be next, the one seen first."""
    left, order = list(names), []
    while left:
        blocked = set[str]().union(*(after[name] for name in left))
        order.append(next(name for name in left if name not in blocked))
        left.remove(order[-1])
    return order
