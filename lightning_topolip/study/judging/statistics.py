"""Differences, ratios and rank correlations of a few trainings, with their confidence intervals."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, spearmanr, ttest_ind

Array = np.ndarray[Any, np.dtype[np.float64]]

_ROUNDING = 1e-12


class Spread(NamedTuple):
    """Mean, sample standard deviation (n - 1; NaN for fewer than two values) and number of values."""

    mean: float
    deviation: float
    size: int


class Interval(NamedTuple):
    """An estimate with its confidence interval; the limits are NaN if there is none."""

    value: float
    low: float
    high: float


class Correlation(NamedTuple):
    """A rank correlation with its confidence interval.

    Attributes:
        rho: From -1 to 1; NaN if one side is constant or there are fewer than two pairs.
        low: Lower limit; NaN for fewer than four pairs.
        high: Upper limit; NaN for fewer than four pairs.
        pairs: Number of pairs.
    """

    rho: float
    low: float
    high: float
    pairs: int


def spread(values: npt.ArrayLike) -> Spread:
    """Return mean, standard deviation and number of the values that are not NaN.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        Spread(mean=2.0, deviation=1.0, size=3)
    """
    measured = _without_nan(values, "values")
    with np.errstate(invalid="ignore"):
        mean = _mean(measured) if measured.size else math.nan
        deviation = float(measured.std(ddof=1)) if measured.size > 1 else math.nan
    return Spread(mean, deviation, measured.size)


def mean_difference(first: npt.ArrayLike, second: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Estimate ``mean(first) - mean(second)`` with Welch's t interval, which allows different variances.

    NaN is skipped. The limits are NaN for fewer than two values on a side and for infinite values. If both sides are
    constant, both limits are the difference itself; differences of the size of rounding errors count as zero.

    Source:
        Welch (1947), doi:10.2307/2332510.

    Example:
        >>> value, low, high = mean_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
        >>> round(value, 2), round(low, 2), round(high, 2)
        (2.0, -0.27, 4.27)
    """
    a, b = _without_nan(first, "first"), _without_nan(second, "second")
    magnitude = max((float(np.abs(side).max()) for side in (a, b) if side.size), default=0.0)
    return _welch(a, b, confidence, _ROUNDING * magnitude)


def mean_ratio(first: npt.ArrayLike, second: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Estimate the ratio of the geometric means with Welch's t interval of the logarithms.

    NaN is skipped. The limits are NaN for fewer than two values on a side and if a value is not positive and finite.

    Example:
        >>> value, low, high = mean_ratio([1.0, 2.0, 4.0], [4.0, 8.0, 16.0])
        >>> round(value, 3), low < value < high
        (0.25, True)
    """
    a, b = _without_nan(first, "first"), _without_nan(second, "second")
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(a), np.log(b)
    with np.errstate(over="ignore"):
        return Interval(*(float(np.exp(limit)) for limit in _welch(*logs, confidence, _ROUNDING)))


def spearman(x: npt.ArrayLike, y: npt.ArrayLike, confidence: float = 0.95) -> Correlation:
    """Correlate ranks, with an interval by Fisher's z and the variance (1 + rho^2 / 2) / (n - 3).

    Pairs with NaN are skipped; ties get their mean rank. By this variance, a perfect order of a few pairs would prove a
    perfect correlation. For the limit nearer to zero, rho is therefore taken no closer to 1 or -1 than halfway to the
    next value that untied ranks can have, 1 - 6 / (n (n^2 - 1)).

    Source:
        Bonett and Wright (2000), doi:10.1007/BF02294183.

    Example:
        >>> rho, low, high, pairs = spearman([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 2.0, 4.0, 3.0, 6.0, 5.0])
        >>> round(rho, 3), round(low, 2), round(high, 2), pairs
        (0.886, 0.07, 0.99, 6)
    """
    first, second = _vector(x, "x"), _vector(y, "y")
    if first.shape != second.shape:
        raise ValueError(f"Arguments `x` and `y` must have the same length, got {len(first)} and {len(second)}.")
    width = float(norm.ppf((1 + _level(confidence)) / 2))
    complete = ~(np.isnan(first) | np.isnan(second))
    a, b = first[complete], second[complete]
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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)  # one side is constant
        limits = ttest_ind(first, second, equal_var=False).confidence_interval(level)
    return Interval(value, float(limits.low), float(limits.high))


def _mean(values: Array) -> float:
    """Mean of the values; exactly their value if all are equal."""
    return float(values[0]) if (values == values[0]).all() else float(values.mean())


def _without_nan(values: npt.ArrayLike, name: str) -> Array:
    vector = _vector(values, name)
    return vector[~np.isnan(vector)]


def _vector(values: npt.ArrayLike, name: str) -> Array:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"Argument `{name}` must be a list of numbers, shape (n,), got shape {vector.shape}.")
    return vector


def _level(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"Argument `confidence` must be between 0 and 1, got {confidence!r}; take 0.95.")
    return confidence
