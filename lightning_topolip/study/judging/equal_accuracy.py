"""Numbers of trainings, compared where both models have the same accuracy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_topolip.study.judging.averages import arithmetic_mean
from lightning_topolip.study.judging.run_rows import RunRows
from lightning_topolip.study.judging.statistics import Side
from lightning_topolip.study.judging.summaries import PATH_LENGTH, SUMMARIES, VALIDATION

Array = npt.NDArray[np.float64]

_ROUNDING = 1e-12  # the mean of equal accuracies must not lie above them


@dataclass(frozen=True)
class Course:
    """A number along a training, as its snapshots see it.

    Attributes:
        epochs: Epochs trained by every snapshot, shape ``(k,)``.
        accuracy: Validation accuracy at every snapshot.
        value: The number at every snapshot.
        error: Its standard error on the probe; NaN if it is not known.
    """

    epochs: Array
    accuracy: Array
    value: Array
    error: Array

    def at(self, level: float) -> tuple[float, float]:
        """Return the number, and its error, where the accuracy first reaches a level.

        Between two snapshots both are interpolated along the largest accuracy so far; a course that never reaches the
        level counts with its last snapshot. The interpolated error is an upper bound.
        """
        best = np.maximum.accumulate(self.accuracy)
        after = int(np.searchsorted(best, level))
        if after == len(best):
            return float(self.value[-1]), float(self.error[-1])
        if after == 0:
            return float(self.value[0]), float(self.error[0])
        share = (level - best[after - 1]) / (best[after] - best[after - 1])
        value, error = (
            float(numbers[after - 1] + share * (numbers[after] - numbers[after - 1]))
            for numbers in (self.value, self.error)
        )
        return value, error


@dataclass(frozen=True)
class AtEqualAccuracy:
    """The numbers of two models at a common accuracy.

    Attributes:
        level: The accuracy, the lower one of the two models' mean final validation accuracies.
        first: The numbers of the first model; NaN for a run without a course.
        second: The same for the second model.
        short: Number of runs that never reach the level and count with their last snapshot.
        obstacle: Why the numbers do not compare; empty if they do.
    """

    level: float
    first: Side
    second: Side
    short: int
    obstacle: str


def at_equal_accuracy(summary: str, first: Sequence[RunRows], second: Sequence[RunRows]) -> AtEqualAccuracy:
    """Compute a number of every run at a common validation accuracy, whatever the lengths of the trainings.

    A path through more snapshots is longer, so to compare paths all runs must have snapshots at one interval. A last
    interval that is shorter, because the training ended, does not count.

    Args:
        summary: The number, one of `SUMMARIES`.
        first: The runs of one model.
        second: The runs of the other model.
    """
    courses = [[course_of(summary, run) for run in side] for side in (first, second)]
    known = [[course for course in side if course] for side in courses]
    level = min(arithmetic_mean(course.accuracy[-1] for course in side) for side in known) - _ROUNDING
    one, other = (_numbers_at(level, side) for side in courses)
    short = sum(float(course.accuracy.max()) < level for side in known for course in side)
    return AtEqualAccuracy(level, one, other, short, _obstacle(summary, known, level))


def course_of(summary: str, run: RunRows) -> Course | None:
    """Return the course of a number along a run; None if the run has fewer than two snapshots with an accuracy."""
    accuracies = {row.epoch: row.value for row in run.of("accuracy") if row.condition == VALIDATION}
    epochs = sorted(accuracies)
    if len(epochs) < 2 or any(map(math.isnan, accuracies.values())):
        return None
    if summary == PATH_LENGTH and epochs[-1] - epochs[-2] < epochs[1] - epochs[0]:
        epochs = epochs[:-1]
    snapshots = [run.until(epoch) for epoch in epochs]
    value, error = (
        np.array([number(snapshot) for snapshot in snapshots])
        for number in (SUMMARIES[summary].of, SUMMARIES[summary].error)
    )
    if summary == PATH_LENGTH:
        value[0] = error[0] = 0.0
    return Course(np.array(epochs), np.array([accuracies[epoch] for epoch in epochs]), value, error)


def _numbers_at(level: float, courses: Sequence[Course | None]) -> Side:
    numbers = [course.at(level) if course else (math.nan, math.nan) for course in courses]
    return Side([value for value, _ in numbers], [error for _, error in numbers])


def _interval(course: Course) -> float:
    """The interval of the snapshots; NaN if they have several."""
    intervals = set(np.diff(course.epochs).tolist())
    return intervals.pop() if len(intervals) == 1 else math.nan


def _obstacle(summary: str, known: Sequence[Sequence[Course]], level: float) -> str:
    if not all(known):
        return ""
    intervals = {_interval(course) for side in known for course in side}
    if summary == PATH_LENGTH and (len(intervals) > 1 or any(map(math.isnan, intervals))):
        return "the snapshots have different intervals, and a path through more snapshots is longer"
    if any(course.accuracy[0] >= level for course in itertools.chain(*known)):
        return f"a run has the common accuracy of {level:.3g} before training"
    return ""
