"""The ticks of a logarithmic axis and their labels."""

from __future__ import annotations

import math

from matplotlib.ticker import MaxNLocator

from lightning_topolip.study.judging.formats import number, power_of_ten

_FEWEST, _MOST = 3, 7
_STEPS = ((1, 2, 5), (1, 3), (1,))
_EXACT = 1e-12
_PLAIN = (1e-3, 1e4)


def log_ticks(low: float, high: float) -> dict[float, str]:
    """Return the values to label between two positive ends, and their labels, of which no two are alike.

    Ranges of several decades have round values in each decade, or every so many decades; shorter ones have equal steps.

    Example:
        >>> list(log_ticks(0.8, 300.0).values()), list(log_ticks(187.0, 246.0).values())
        (['1', '3', '10', '30', '100', '300'], ['190', '200', '210', '220', '230', '240'])
    """
    ticks = _round_values(low, high) or _equal_steps(low, high)
    powers = all(_is_power_of_ten(tick) for tick in ticks) and not (_PLAIN[0] <= ticks[0] and ticks[-1] <= _PLAIN[1])
    return {tick: power_of_ten(tick) if powers else _exact(tick) for tick in ticks}


def _round_values(low: float, high: float) -> list[float]:
    """Return some round values; empty if the range has too few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    every = max(1, math.ceil(decades / _MOST))
    for steps in _STEPS:
        values = [step * 10.0**power for power in range(first, last + 1) if power % every == 0 for step in steps]
        ticks = [value for value in values if low <= value <= high]
        if _FEWEST <= len(ticks) <= _MOST:
            return ticks
    return []


def _equal_steps(low: float, high: float) -> list[float]:
    values = [float(value) for value in MaxNLocator(_MOST - 1).tick_values(low, high)]
    inside = [value for value in values if low <= value <= high and value > 0]
    return inside or [low]


def _is_power_of_ten(value: float) -> bool:
    return math.isclose(value, 10.0 ** round(math.log10(value)), rel_tol=_EXACT)


def _exact(value: float) -> str:
    """Write a number with as few digits as it has."""
    digits = next(
        count for count in range(1, 18) if math.isclose(float(f"{value:.{count - 1}e}"), value, rel_tol=_EXACT)
    )
    return number(value, digits)
