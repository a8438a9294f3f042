"""Averages that skip NaN: over layers, epochs, and the seeds of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Mean = Callable[[Iterable[float]], float]


def arithmetic_mean(values: Iterable[float]) -> float:
    """Mean of the values; NaN if all are NaN or there are none."""
    measured = _without_nan(values)
    return float(measured.mean()) if measured.size else math.nan


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of values >= 0; NaN if all are NaN or there are none."""
    measured = _without_nan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.log(measured).mean())) if measured.size else math.nan


def median(values: Iterable[float]) -> float:
    """Median of the values; NaN if all are NaN or there are none."""
    measured = _without_nan(values)
    return float(np.median(measured)) if measured.size else math.nan


def model_means(runs: Mapping[Any, Mapping[str, float]], names: Sequence[str]) -> dict[str, list[float]]:
    """Average the named numbers of every model over its runs that have all of them; a model without one is skipped."""
    complete: dict[str, list[list[float]]] = {}
    for key, numbers in runs.items():
        values = [numbers[name] for name in names]
        if not any(map(math.isnan, values)):
            complete.setdefault(key.model, []).append(values)
    return {model: [arithmetic_mean(column) for column in zip(*rows, strict=True)] for model, rows in complete.items()}


def _without_nan(values: Iterable[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
