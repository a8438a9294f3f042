"""Differences, ratios and rank correlations of a few trainings, with their confidence intervals."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, spearmanr
from scipy.stats import t as student

from lightning_topolip.arguments import require_fraction

Array = np.ndarray[Any, np.dtype[np.float64]]

_ROUNDING = 1e-12


class Spread(NamedTuple):
    """Mean, sample standard deviation (n - 1; NaN for fewer than two values) and number of values."""

    mean: float
    deviation: float
    size: int


class Side(NamedTuple):
    """The numbers of one side of a comparison, one per training, and their standard errors on the probe."""

    values: list[float]
    errors: list[float]


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


def mean_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    confidence: float = 0.95,
    first_errors: npt.ArrayLike | None = None,
    second_errors: npt.ArrayLike | None = None,
) -> Interval:
    """Estimate ``mean(first) - mean(second)`` with Welch's t interval, widened by the errors that the values share.

    All trainings are measured on one probe, so their scatter does not contain the error of the probe. Its variance, the
    mean square of a side's errors, is therefore added to Welch's as a third component, not reduced by the number of
    values and with infinite degrees of freedom; the interval is never narrower than without it. The two sides are added
    as if their probes were independent, which is conservative: on one probe a good part of both errors cancels in the
    difference.

    NaN is skipped, an error of NaN counts as unknown and adds nothing. The limits are NaN for fewer than two values on
    a side and for infinite values. If both sides are constant and without errors, both limits are the difference
    itself; differences of the size of rounding errors count as zero.

    Args:
        first: One value per training.
        second: The same for the other side.
        confidence: The level of the interval.
        first_errors: The standard error of every value on the probe; None if they are not known.
        second_errors: The same for the other side.

    Source:
        Welch (1947), doi:10.2307/2332510; for the degrees of freedom of several components Satterthwaite (1946),
        doi:10.2307/3002019.

    Example:
        >>> value, low, high = mean_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
        >>> round(value, 2), round(low, 2), round(high, 2)
        (2.0, -0.27, 4.27)
        >>> _, low, high = mean_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], first_errors=[1.0, 1.0, 1.0])
        >>> round(low, 2), round(high, 2)
        (-0.66, 4.66)
    """
    a, of_a = _measured(first, first_errors, "first")
    b, of_b = _measured(second, second_errors, "second")
    magnitude = max((float(np.abs(side).max()) for side in (a, b) if side.size), default=0.0)
    return _welch(a, b, confidence, _ROUNDING * magnitude, _mean_square(of_a) + _mean_square(of_b))


def mean_ratio(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    confidence: float = 0.95,
    first_errors: npt.ArrayLike | None = None,
    second_errors: npt.ArrayLike | None = None,
) -> Interval:
    """Estimate the ratio of the geometric means by `mean_difference` of the logarithms.

    The error of a logarithm is the relative error. NaN is skipped. The limits are NaN for fewer than two values on a
    side and if a value is not positive and finite.

    Example:
        >>> value, low, high = mean_ratio([1.0, 2.0, 4.0], [4.0, 8.0, 16.0])
        >>> round(value, 3), low < value < high
        (0.25, True)
    """
    a, of_a = _measured(first, first_errors, "first")
    b, of_b = _measured(second, second_errors, "second")
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(a), np.log(b)
        probe = _mean_square(of_a / a) + _mean_square(of_b / b)
    with np.errstate(over="ignore"):
        return Interval(*(float(np.exp(limit)) for limit in _welch(*logs, confidence, _ROUNDING, probe)))


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


def _welch(first: Array, second: Array, confidence: float, rounding: float, probe: float) -> Interval:
    level = _level(confidence)
    if not (first.size and second.size):
        return Interval(math.nan, math.nan, math.nan)
    with np.errstate(invalid="ignore"):
        value = _mean(first) - _mean(second)
    if min(first.size, second.size) < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return Interval(value, math.nan, math.nan)
    spreads = np.array([side.var(ddof=1) / side.size for side in (first, second)])
    if max(np.ptp(first), np.ptp(second)) <= rounding:
        value, spreads = value if abs(value) > rounding else 0.0, np.zeros(2)
    freedoms = np.array([first.size - 1.0, second.size - 1.0, math.inf])
    half = max(
        _half_width(np.array([*spreads, added]), freedoms, level)
        for added in (0.0, probe)  # the freedom of the probe alone would make an interval narrower
    )
    return Interval(value, value - half, value + half)


def _half_width(variances: Array, freedoms: Array, level: float) -> float:
    """Half of the interval of a sum whose independent parts have these variances and degrees of freedom."""
    variance, uncertain = float(variances.sum()), float((variances**2 / freedoms).sum())
    freedom = variance**2 / uncertain if uncertain else math.inf
    return float(student.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)


def _mean_square(errors: Array) -> float:
    known = errors[~np.isnan(errors)]
    return float((known**2).mean()) if known.size else 0.0


def _mean(values: Array) -> float:
    """Mean of the values; exactly their value if all are equal."""
    return float(values[0]) if (values == values[0]).all() else float(values.mean())


def _measured(values: npt.ArrayLike, errors: npt.ArrayLike | None, name: str) -> tuple[Array, Array]:
    """The values that are not NaN, and their errors."""
    vector = _vector(values, name)
    of_vector = np.full(vector.shape, math.nan) if errors is None else _vector(errors, f"{name}_errors")
    if of_vector.shape != vector.shape:
        raise ValueError(
            f"Argument `{name}_errors` must have one error per value, got {len(of_vector)} for {len(vector)} values."
        )
    measured = ~np.isnan(vector)
    return vector[measured], of_vector[measured]


def _without_nan(values: npt.ArrayLike, name: str) -> Array:
    vector = _vector(values, name)
    return vector[~np.isnan(vector)]


def _vector(values: npt.ArrayLike, name: str) -> Array:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"Argument `{name}` must be a list of numbers, shape (n,), got shape {vector.shape}.")
    return vector


def _level(confidence: float) -> float:
    require_fraction("confidence", confidence, hint="take 0.95")
    return confidence
