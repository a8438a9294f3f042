"""Averages over what could be measured: of layers, of epochs, of the seeds of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Mean = Callable[[Iterable[float]], float]


def arithmetic_mean(values: Iterable[float]) -> float:
    """Average the numbers that could be measured.

    Args:
        values: Numbers; NaN is left out.

    Returns:
        Their mean; NaN for none.

    Example:
        >>> arithmetic_mean([1.0, float("nan"), 4.0])
        2.5
    """
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def geometric_mean(values: Iterable[float]) -> float:
    """Average the logarithms of the numbers that could be measured: the mean factor.

    Args:
        values: Numbers of 0 or more; NaN is left out.

    Returns:
        Their geometric mean; NaN for none.

    Example:
        >>> round(geometric_mean([2.0, 8.0]), 12)
        4.0
    """
    known = np.array([value for value in values if not math.isnan(value)])
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.log(known).mean())) if known.size else math.nan


def median(values: Iterable[float]) -> float:
    """Take the middle of the numbers that could be measured.

    Args:
        values: Numbers; NaN is left out.

    Returns:
        Their median; NaN for none.

    Example:
        >>> median([1.0, 2.0, 30.0])
        2.0
    """
    known = [value for value in values if not math.isnan(value)]
    return float(np.median(known)) if known else math.nan


def model_means(runs: Mapping[Any, Mapping[str, float]], names: Sequence[str]) -> dict[str, list[float]]:
    """Average the seeds of every model.

    Args:
        runs: By run, a key with a ``model``, its numbers by name.
        names: Which numbers.

    Returns:
        By model, each number's mean over the runs that have all of them; models without such a run are left out.
    """
    whole: dict[str, list[list[float]]] = {}
    for key, numbers in runs.items():
        values = [numbers[name] for name in names]
        if not any(map(math.isnan, values)):
            whole.setdefault(key.model, []).append(values)
    return {model: [arithmetic_mean(column) for column in zip(*rows, strict=True)] for model, rows in whole.items()}
