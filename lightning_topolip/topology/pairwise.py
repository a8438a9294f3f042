"""A lower bound on the Lipschitz constant between two layers, from the pairs of the probe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.matrices import RESOLUTION, checked_matrix


@dataclass(frozen=True)
class PairwiseLipschitz:
    """The pair of samples that a map stretches the most.

    Attributes:
        value: Its quotient of distances, a lower bound on the Lipschitz constant; infinite if a pair that coincides
            before the map differs after it; NaN if no pair counts.
        pair: The two samples, lower index first; None if no pair counts.
    """

    value: float
    pair: tuple[int, int] | None


def pairwise_lipschitz(before: npt.ArrayLike, after: npt.ArrayLike) -> PairwiseLipschitz:
    """Take the largest quotient of distances over all pairs: ``max_ij after_ij / before_ij``.

    No Lipschitz constant of a map from one layer to the other can be smaller. `distance_matrix` does not resolve
    distances below 1e-5 of the cloud's diameter. Therefore

    - a pair at distance 0 before and at a resolved distance after has no finite quotient: the value is infinite, since
      no function maps one point to two;
    - any other pair at an unresolved distance before is skipped, since its quotient, 0/0 included, is noise. A maximum
      over fewer pairs is still a lower bound.

    If the activations themselves were rounded, in bfloat16 or next to a large offset, the distances of close pairs
    contain that rounding, and a quotient can exceed the true constant accordingly.

    Args:
        before: Distance matrix of the earlier layer, shape ``(n, n)``.
        after: Distance matrix of the later layer for the same samples, shape ``(n, n)``.

    Returns:
        The bound and the pair that attains it.

    Raises:
        ValueError: If a matrix is not a distance matrix, or the two differ in size.

    Example:
        >>> before = [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]
        >>> after = [[0.0, 3.0, 4.0], [3.0, 0.0, 1.0], [4.0, 1.0, 0.0]]
        >>> pairwise_lipschitz(before, after)
        PairwiseLipschitz(value=3.0, pair=(0, 1))
    """
    sources, targets = checked_matrix(before, "before"), checked_matrix(after, "after")
    if sources.shape != targets.shape:
        raise ValueError(
            "Arguments `before` and `after` must have the same shape, "
            f"got {sources.shape} and {targets.shape}; measure both layers on one probe."
        )
    rows, columns = np.triu_indices(len(sources), k=1)
    source, target = sources[rows, columns], targets[rows, columns]
    torn = (source == 0) & (target > RESOLUTION * target.max())
    counted = torn | (source > RESOLUTION * source.max())
    if not counted.any():
        return PairwiseLipschitz(math.nan, None)
    quotients = np.full(len(source), -math.inf)
    np.divide(target, source, out=quotients, where=counted & ~torn)
    quotients[torn] = math.inf
    best = int(quotients.argmax())
    return PairwiseLipschitz(float(quotients[best]), (int(rows[best]), int(columns[best])))
