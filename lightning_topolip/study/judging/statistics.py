"""How sure a comparison of a few trainings is: differences, ratios and rank correlations with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, spearmanr, t

Array = np.ndarray[Any, np.dtype[np.float64]]

_ROUNDING = 1e-12


class Spread(NamedTuple):
    """Where values lie.

    Attributes:
        mean: Their mean; NaN for none.
        deviation: Their standard deviation, with n - 1; NaN for fewer than two.
        size: How many there are.
    """

    mean: float
    deviation: float
    size: int


class Interval(NamedTuple):
    """An estimate with its confidence interval.

    Attributes:
        value: The estimate.
        low: Lower limit; NaN where the values tell none.
        high: Upper limit; NaN where the values tell none.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its confidence interval.

    Attributes:
        rho: From -1 to 1; NaN where one side is constant or there are fewer than two pairs.
        low: Lower limit; NaN for fewer than four pairs.
        high: Upper limit; NaN for fewer than four pairs.
        count: Number of pairs.
    """

    rho: float
    low: float
    high: float
    count: int


def spread(values: npt.ArrayLike) -> Spread:
    """Give mean and standard deviation.

    Args:
        values: Shape ``(n,)``; NaN is left out.

    Returns:
        Mean, standard deviation and number of values.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        Spread(mean=2.0, deviation=1.0, size=3)
    """
    kept = _known(values, "values")
    with np.errstate(invalid="ignore"):
        mean = _mean(kept) if kept.size else math.nan
        deviation = float(kept.std(ddof=1)) if kept.size > 1 else math.nan
    return Spread(mean, deviation, kept.size)


def mean_difference(first: npt.ArrayLike, second: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Estimate how much larger the first mean is, by Welch's t interval: the variances may differ.

    Where the values of each side are all equal nothing is left to estimate, and both limits are the difference itself.
    Differences of the size of rounding count as none.

    Args:
        first: Shape ``(n,)``; NaN is left out.
        second: Shape ``(m,)``; NaN is left out.
        confidence: Level of the interval, between 0 and 1.

    Returns:
        ``mean(first) - mean(second)``, NaN where a side is empty. The limits are NaN for fewer than two values on a
        side and for infinite ones.

    Raises:
        ValueError: If an argument is not allowed.

    Source:
        Welch (1947), doi:10.2307/2332510.

    Example:
        >>> value, low, high = mean_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
        >>> round(value, 2), round(low, 2), round(high, 2)
        (2.0, -0.27, 4.27)
    """
    a, b = _known(first, "first"), _known(second, "second")
    magnitude = max((float(np.abs(side).max()) for side in (a, b) if side.size), default=0.0)
    return _welch(a, b, confidence, _ROUNDING * magnitude)


def mean_ratio(first: npt.ArrayLike, second: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Estimate how many times larger the first geometric mean is, by Welch's t interval of the logarithms.

    Args:
        first: Positive values, shape ``(n,)``; NaN is left out.
        second: Positive values, shape ``(m,)``; NaN is left out.
        confidence: Level of the interval, between 0 and 1.

    Returns:
        The ratio of the geometric means, NaN where a side is empty or holds a negative value. The limits are NaN for
        fewer than two values on a side and where a value is not positive and finite.

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> value, low, high = mean_ratio([1.0, 2.0, 4.0], [4.0, 8.0, 16.0])
        >>> round(value, 3), low < value < high
        (0.25, True)
    """
    a, b = _known(first, "first"), _known(second, "second")
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(a), np.log(b)
    with np.errstate(over="ignore"):
        return Interval(*(float(np.exp(limit)) for limit in _welch(*logs, confidence, _ROUNDING)))


def spearman(x: npt.ArrayLike, y: npt.ArrayLike, confidence: float = 0.95) -> Correlation:
    """Correlate ranks, with an interval by Fisher's z and the variance (1 + rho^2 / 2) / (n - 3).

    A perfect order of a few pairs does not prove a perfect correlation, as the variance there would have it. So for the
    limit nearer to zero rho is taken no closer to 1 or -1 than half way to the next value that untied ranks can give,
    1 - 6 / (n (n^2 - 1)).

    Args:
        x: Shape ``(n,)``.
        y: Shape ``(n,)``; a pair with NaN on either side is left out.
        confidence: Level of the interval, between 0 and 1.

    Returns:
        The correlation; ties get their mean rank.

    Raises:
        ValueError: If an argument is not allowed.

    Source:
        Bonett and Wright (2000), doi:10.1007/BF02294183.

    Example:
        >>> found = spearman([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 2.0, 4.0, 3.0, 6.0, 5.0])
        >>> round(found.rho, 3), round(found.low, 2), round(found.high, 2), found.count
        (0.886, 0.07, 0.99, 6)
    """
    first, second = _vector(x, "x"), _vector(y, "y")
    if first.shape != second.shape:
        raise ValueError(f"Arguments `x` and `y` must have the same length, got {len(first)} and {len(second)}.")
    width = float(norm.ppf((1 + _level(confidence)) / 2))
    known = ~(np.isnan(first) | np.isnan(second))
    a, b = first[known], second[known]
    n = a.size
    if n < 2 or (a == a[0]).all() or (b == b[0]).all():
        return Correlation(math.nan, math.nan, math.nan, n)
    rho = float(np.clip(spearmanr(a, b).statistic, -1.0, 1.0))
    if n < 4:
        return Correlation(rho, math.nan, math.nan, n)
    width *= math.sqrt((1 + rho**2 / 2) / (n - 3))
    most = 1 - 6 / (n * (n**2 - 1))
    with np.errstate(divide="ignore"):
        low = np.tanh(np.arctanh(min(rho, most)) - width)
        high = np.tanh(np.arctanh(max(rho, -most)) + width)
    return Correlation(rho, float(low), float(high), n)


def _welch(first: Array, second: Array, confidence: float, rounding: float) -> Interval:
    level = _level(confidence)
    if not (first.size and second.size):
        return Interval(math.nan, math.nan, math.nan)
    with np.errstate(invalid="ignore"):
        value = _mean(first) - _mean(second)
    if min(first.size, second.size) < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return Interval(value, math.nan, math.nan)
    if max(np.ptp(first), np.ptp(second)) <= rounding:
        value = value if abs(value) > rounding else 0.0
        return Interval(value, value, value)
    errors = [float(side.var(ddof=1)) / side.size for side in (first, second)]
    shares = [error / sum(errors) for error in errors]
    freedom = 1 / sum(share**2 / (side.size - 1) for share, side in zip(shares, (first, second), strict=True))
    width = float(t.ppf((1 + level) / 2, freedom)) * math.sqrt(sum(errors))
    return Interval(value, value - width, value + width)


def _mean(values: Array) -> float:
    return float(values[0]) if (values == values[0]).all() else float(values.mean())


def _known(values: npt.ArrayLike, name: str) -> Array:
    vector = _vector(values, name)
    return vector[~np.isnan(vector)]


def _vector(values: npt.ArrayLike, name: str) -> Array:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"Argument `{name}` must be a list of numbers, shape (n,), got shape {vector.shape}.")
    return vector


def _level(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"Argument `confidence` must lie between 0 and 1, such as 0.95, got {confidence!r}.")
    return confidence
