"""Arithmetic of bounds: numbers from 0 to infinity, and NaN for one that is not known."""

from __future__ import annotations

import math
from collections.abc import Iterable


def product(*factors: float) -> float:
    """Multiply bounds: what does not depend on the input stays so behind a function without a bound.

    Args:
        *factors: Not negative, or NaN.

    Returns:
        NaN if a factor is NaN, else 0 if one is 0, else their product.

    Example:
        >>> product(0.0, math.inf), product(2.0, 3.0), product(0.0, math.nan)
        (0.0, 6.0, nan)
    """
    known = not any(map(math.isnan, factors))
    return 0.0 if known and 0.0 in factors else math.prod(factors)


def largest(values: Iterable[float]) -> float:
    """Take the largest bound.

    Args:
        values: Not negative, or NaN.

    Returns:
        NaN if one is NaN, 0 for none.

    Example:
        >>> largest([1.0, 2.0]), largest([1.0, math.nan, 2.0]), largest([])
        (2.0, nan, 0.0)
    """
    found = list(values)
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)
