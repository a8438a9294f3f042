"""Curves: the numbers of a model along an axis, one value per seed and position."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from lightning_topolip.study.judging.formats import number
from lightning_topolip.study.judging.results import Row

ERROR_BAND = "two standard errors"

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Curve:
    """The numbers of one model along an axis.

    Attributes:
        model: Label of the model.
        x: Positions on the axis, ascending, shape ``(positions,)``.
        seeds: The seeds.
        values: One row per seed, NaN where it has no number, shape ``(seeds, positions)``.
        errors: The standard errors of the values on the probe, NaN where they are unknown, same shape.
        low: Lower end of the shaded band, shape ``(positions,)``.
        high: Upper end.
        band: Meaning of the band; empty for no band.
    """

    model: str
    x: Array
    seeds: tuple[int, ...]
    values: Array
    errors: Array
    low: Array
    high: Array
    band: str

    @property
    def mean(self) -> Array:
        """Mean over the seeds that have a number, shape ``(positions,)``."""
        return _over_seeds(self.values, np.mean)


def curves(rows: Iterable[Row], position: Callable[[Row], float], models: Sequence[str]) -> list[Curve]:
    """Make one curve per model that has a finite number, in the order of the models.

    Rows of one seed at one position, such as those of several layers, are averaged; the mean is missing if one of them
    is not finite, and has no error.
    The band is two standard errors of one seed to either side of the mean, where they are known, and otherwise the
    range of the seeds.
    """
    cells: dict[str, dict[tuple[int, float], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row.model][row.seed, position(row)].append(row)
    means = {model: {key: _mean(of_cell) for key, of_cell in of.items()} for model, of in cells.items()}
    finite = {model: {key: mean for key, mean in of.items() if math.isfinite(mean[0])} for model, of in means.items()}
    return [_curve(model, finite[model]) for model in models if finite.get(model)]


def describe(curves: Sequence[Curve], x: str, y: str) -> str:
    """Describe curves of the quantity `y` along the axis `x` in words, one sentence per curve."""
    return f"{y} against {x}. " + " ".join(_in_words(curve) for curve in curves)


def _in_words(curve: Curve) -> str:
    mean, x = curve.mean, curve.x
    if len(x) == 1:
        return f"{curve.model}: {number(mean[0])} at {number(x[0])}."
    top = int(np.argmax(mean))
    return f"{curve.model}: {number(mean[0])} to {number(mean[-1])}, largest {number(mean[top])} at {number(x[top])}."


def _mean(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the mean of some rows, and its error if it is a single row's."""
    return float(np.mean([row.value for row in rows])), rows[0].error if len(rows) == 1 else math.nan


def _curve(model: str, cells: dict[tuple[int, float], tuple[float, float]]) -> Curve:
    seeds = tuple(sorted({seed for seed, _ in cells}))
    positions = sorted({position for _, position in cells})
    missing = (math.nan, math.nan)
    values, errors = np.moveaxis(
        np.array([[cells.get((seed, position), missing) for position in positions] for seed in seeds]), 2, 0
    )
    low, high, band = _over_seeds(values, np.min), _over_seeds(values, np.max), "range of the seeds"
    if np.isfinite(errors).any():
        half = 2 * typical_error(errors)
        mean = _over_seeds(values, np.mean)
        low, high, band = mean - half, mean + half, ERROR_BAND
    elif len(seeds) == 1:
        band = ""
    return Curve(model, np.array(positions), seeds, values, errors, low, high, band)


def typical_error(errors: Array) -> Array:
    """Root mean square over the seeds that have an error; 0 where none has, shape ``(positions,)``."""
    known = np.isfinite(errors)
    squares = np.where(known, errors, 0.0) ** 2
    return np.asarray(np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1)), dtype=np.float64)


def _over_seeds(values: Array, reduce: Callable[[Array], Any]) -> Array:
    """Reduce over the seeds that have a number; every position has at least one."""
    return np.array([reduce(column[np.isfinite(column)]) for column in values.T])
