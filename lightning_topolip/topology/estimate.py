"""A number with its standard error: its value on the probe and on the disjoint parts of every cut of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number, or an array of numbers, and what it is on disjoint parts of the probe.

    The parts are the same samples in every layer, epoch and model on one probe, so the error of a difference or a sum
    of two estimates is that of paired samples. There is no error, NaN, where the probe was not cut.

    Attributes:
        value: The numbers on the whole probe, shape ``(...)``.
        parts: The same on every part, shape ``(cuts, parts, ...)``: random halves, cut several times, or the disjoint
            subsets of a large probe, cut once.

    Example:
        >>> before = Estimate(np.array(1.0), np.array([[0.9, 1.2]]))
        >>> now = Estimate(np.array(3.0), np.array([[2.9, 3.3]]))
        >>> change = now - before
        >>> float(change.value), round(float(before.error), 2), round(float(change.error), 2), round(change.z, 1)
        (2.0, 0.15, 0.05, 40.0)
    """

    value: Array
    parts: Array

    @property
    def error(self) -> Array:
        """The standard error: how far the value would move on another probe of the same size, shape ``(...)``.

        For halves ``sqrt(mean over cuts of (T(A) - T(B))^2) / 2``, for subsets their standard deviation over the square
        root of their number.
        """
        squares = deviations(self.parts) ** 2
        if not squares.size:
            return np.full(np.shape(self.value), math.nan)
        error: Array = np.sqrt(squares.mean(axis=(0, 1)))
        return error

    @property
    def z(self) -> float:
        """The value in units of its error; beyond 2 or 3 it is more than sampling. NaN if both are zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.value) / self.error)

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference of two estimates on one probe."""
        return Estimate(self.value - other.value, self.parts - other.parts)

    def __add__(self, other: Estimate) -> Estimate:
        """The sum of two estimates on one probe."""
        return Estimate(self.value + other.value, self.parts + other.parts)

    def scaled_by(self, factor: float) -> Estimate:
        """The estimate in another unit."""
        return Estimate(self.value * factor, self.parts * factor)

    def at(self, index: int) -> Estimate:
        """One entry of the last axis."""
        return Estimate(np.asarray(self.value[..., index]), self.parts[..., index])

    def apply(self, statistic: Callable[[Array], npt.ArrayLike]) -> Estimate:
        """Compute a statistic over the last axis, on the whole and on every part."""
        return Estimate(np.asarray(statistic(self.value)), np.asarray(statistic(self.parts)))


def without_error(value: Array) -> Estimate:
    """A value that was computed on the whole probe alone."""
    return Estimate(value, np.empty((0, 2, *np.shape(value))))


def mean_estimate(estimates: Iterable[Estimate]) -> Estimate:
    """Average estimates on one probe."""
    values, parts = zip(*((estimate.value, estimate.parts) for estimate in estimates), strict=True)
    return Estimate(np.mean(values, axis=0), np.mean(parts, axis=0))


def deviations(parts: Array) -> Array:
    """How far every part lies from the mean of its cut, scaled to the sampling error of that mean.

    For two halves A and B these are ``(T(A) - T(B)) / 2`` and its negative.
    """
    count = parts.shape[1]
    if count < 2:
        return parts[:0]
    deviation: Array = (parts - parts.mean(axis=1, keepdims=True)) / math.sqrt(count - 1)
    return deviation
