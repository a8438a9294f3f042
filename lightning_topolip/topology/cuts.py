"""The cuts of a probe: the disjoint subsets of a large one, and the random halves that errors come from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.settings import Settings

Indices = npt.NDArray[np.int64]

FEWEST_TO_HALVE = 6


def halvings(points: int, settings: Settings) -> list[tuple[Indices, Indices]]:
    """Cut the probe into two disjoint random halves several times; the same for every layer, epoch and process.

    A probe of fewer than 6 points has no halves to compare, because two points always have the same scaled diagram.

    Returns:
        Indices of the two halves of every cut, each of shape ``(n // 2,)``.
    """
    half, cuts = points // 2, settings.halvings if points >= FEWEST_TO_HALVE else 0
    generator = np.random.default_rng(settings.seed)
    orders = [generator.permutation(points) for _ in range(cuts)]
    return [(order[:half], order[half : 2 * half]) for order in orders]


def disjoint_subsets(points: int, settings: Settings) -> list[Indices]:
    """Cut a large probe into disjoint random subsets; the same for every layer, epoch and process.

    Returns:
        Indices of every subset, each of shape ``(whole_size,)``; empty for a probe that is taken as a whole.
    """
    size = whole_size(points, settings)
    if size == points:
        return []
    order = np.random.default_rng(settings.seed).permutation(points)
    return [order[start : start + size] for start in range(0, points - size + 1, size)]


def whole_size(points: int, settings: Settings) -> int:
    """Number of samples whose diagrams are computed at once: the probe, or a subset of it.

    Example:
        >>> [whole_size(points, Settings(subset_size=512)) for points in (512, 600, 1024, 1100)]
        [512, 300, 512, 512]
    """
    size = settings.subset_size
    if size is None or points < max(size + 1, FEWEST_TO_HALVE):
        return points
    return min(size, points // 2)
