"""Curves: the numbers of a model along an axis, one value per seed and position."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from lightning_topolip.report.formats import number
from lightning_topolip.study.judging.results import Row

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Curve:
    """The numbers of one model along an axis.

    Attributes:
        model: Label of the model.
        x: Positions on the axis, ascending, shape ``(positions,)``.
        seeds: The seeds.
        values: One row per seed, NaN where it has no number, shape ``(seeds, positions)``.
        low: Lower end of the shaded band, shape ``(positions,)``.
        high: Upper end.
        band: Meaning of the band; empty for no band.
    """

    model: str
    x: Array
    seeds: tuple[int, ...]
    values: Array
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
    is not finite.
    """
    cells: dict[str, dict[tuple[int, float], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row.model][row.seed, position(row)].append(row.value)
    means = {model: {key: float(np.mean(values)) for key, values in of.items()} for model, of in cells.items()}
    finite = {model: {key: value for key, value in of.items() if math.isfinite(value)} for model, of in means.items()}
    return [_curve(model, finite[model]) for model in models if finite.get(model)]


def describe(curves: Sequence[Curve], x: str, y: str) -> str:
    """Describe curves of the quantity `y` along the axis `x` in words, one sentence per curve."""
    return f"{y} against {x}. " + " ".join(_in_words(curve) for curve in curves)


def _in_words(curve: Curve) -> str:
    mean, x = curve.mean, curve.x
    if len(x) == 1:
        return f"{curve.model}: {number(mean[0])} at {number(x[0])}."
    top = int(np.argmax(mean))
    return (
        f"{curve.model}: from {number(mean[0])} at {number(x[0])} to {number(mean[-1])} at {number(x[-1])}, "
        f"largest {number(mean[top])} at {number(x[top])}."
    )


def _curve(model: str, cells: dict[tuple[int, float], float]) -> Curve:
    seeds = tuple(sorted({seed for seed, _ in cells}))
    positions = sorted({position for _, position in cells})
    values = np.array([[cells.get((seed, position), math.nan) for position in positions] for seed in seeds])
    low, high = _over_seeds(values, np.min), _over_seeds(values, np.max)
    return Curve(model, np.array(positions), seeds, values, low, high, "range of the seeds" if len(seeds) > 1 else "")


def _over_seeds(values: Array, reduce: Callable[[Array], Any]) -> Array:
    """Reduce over the seeds that have a number; every position has at least one."""
    return np.array([reduce(column[np.isfinite(column)]) for column in values.T])
