"""Numbers of several models over an axis: a mean with its spread."""

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
    """One model's numbers over an axis.

    Attributes:
        model: Its label.
        x: Places on the axis, ascending, shape ``(places,)``.
        seeds: The seeds.
        values: A row a seed, NaN where it has no number, shape ``(seeds, places)``.
        low: Lower end of the shaded band, shape ``(places,)``.
        high: Upper end.
        band: What the band is; empty where there is none.
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
        """Mean over the seeds that have a number, shape ``(places,)``."""
        return _over_seeds(self.values, np.mean)


def curves(rows: Iterable[Row], place: Callable[[Row], float], models: Sequence[str]) -> list[Curve]:
    """Arrange rows along an axis.

    Args:
        rows: Of one quantity. Rows of one seed at one place, such as several layers, count with their mean; it is
            missing where one of them is not finite.
        place: Where on the axis a row belongs.
        models: In the order in which they are drawn.

    Returns:
        A curve for every model that has a finite number.
    """
    cells: dict[str, dict[tuple[int, float], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row.model][row.seed, place(row)].append(row.value)
    means = {model: {key: float(np.mean(values)) for key, values in of.items()} for model, of in cells.items()}
    finite = {model: {key: value for key, value in of.items() if math.isfinite(value)} for model, of in means.items()}
    return [_curve(model, finite[model]) for model in models if finite.get(model)]


def describe(found: Sequence[Curve], x: str, y: str) -> str:
    """Say in words what curves show.

    Args:
        found: The curves.
        x: Name of the axis.
        y: Name of the quantity.

    Returns:
        A sentence a curve, with its first, last and largest mean.
    """
    return f"{y} against {x}. " + " ".join(_in_words(curve) for curve in found)


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
    places = sorted({place for _, place in cells})
    values = np.array([[cells.get((seed, place), math.nan) for place in places] for seed in seeds])
    low, high = _over_seeds(values, np.min), _over_seeds(values, np.max)
    return Curve(model, np.array(places), seeds, values, low, high, "range of the seeds" if len(seeds) > 1 else "")


def _over_seeds(values: Array, reduce: Callable[[Array], Any]) -> Array:
    """Reduce over the seeds that have a number; every place has one, or it would not be there."""
    return np.array([reduce(column[np.isfinite(column)]) for column in values.T])
