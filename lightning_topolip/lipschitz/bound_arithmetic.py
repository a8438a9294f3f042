"""Arithmetic of bounds: numbers from 0 to infinity, and NaN for an unknown bound."""

from __future__ import annotations

import math
from collections.abc import Iterable


def product(*factors: float) -> float:
    """Multiply bounds: NaN if one is NaN; otherwise 0 if one is 0, even if another is infinite.

    Example:
        >>> product(0.0, math.inf), product(2.0, 3.0), product(0.0, math.nan)
        (0.0, 6.0, nan)
    """
    unknown = any(map(math.isnan, factors))
    return 0.0 if 0.0 in factors and not unknown else math.prod(factors)


def largest(values: Iterable[float]) -> float:
    """Return the largest bound: NaN if one is NaN, 0 if there are none.

    Example:
        >>> largest([1.0, 2.0]), largest([1.0, math.nan, 2.0]), largest([])
        (2.0, nan, 0.0)
    """
    bounds = list(values)
    return math.nan if any(map(math.isnan, bounds)) else max(bounds, default=0.0)
