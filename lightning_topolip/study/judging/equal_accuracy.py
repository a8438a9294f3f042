"""Path lengths of trainings of different length, compared at equal accuracy."""

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
from lightning_topolip.study.judging.summaries import HEADLINE, PATH_LENGTH, VALIDATION

Array = npt.NDArray[np.float64]

_ROUNDING = 1e-12  # the mean of equal accuracies must not lie above them


@dataclass(frozen=True)
class Course:
    """A training as its snapshots see it.

    Attributes:
        epochs: Epochs trained by every snapshot, shape ``(k,)``.
        accuracy: Validation accuracy at every snapshot.
        path: Path length by every snapshot; 0 at the first.
        error: Its standard error on the probe; NaN if it is not known.
    """

    epochs: Array
    accuracy: Array
    path: Array
    error: Array

    def until(self, level: float) -> tuple[float, float]:
        """Return the path length, and its error, until the accuracy first reaches a level.

        Between two snapshots both are interpolated along the largest accuracy so far; a course that never reaches the
        level counts in whole. The interpolated error is an upper bound.
        """
        best = np.maximum.accumulate(self.accuracy)
        after = int(np.searchsorted(best, level))
        if after == len(best):
            return float(self.path[-1]), float(self.error[-1])
        if after == 0:
            return float(self.path[0]), float(self.error[0])
        share = (level - best[after - 1]) / (best[after] - best[after - 1])
        path, error = (
            float(values[after - 1] + share * (values[after] - values[after - 1])) for values in (self.path, self.error)
        )
        return path, error


@dataclass(frozen=True)
class PathsAtEqualAccuracy:
    """The path lengths of two models until a common accuracy.

    Attributes:
        level: The accuracy, the lower one of the two models' mean final validation accuracies.
        first: The path lengths of the first model; NaN for a run without a course.
        second: The same for the second model.
        short: Number of runs that never reach the level and count in whole.
        obstacle: Why the paths do not compare; empty if they do.
    """

    level: float
    first: Side
    second: Side
    short: int
    obstacle: str


def paths_at_equal_accuracy(first: Sequence[RunRows], second: Sequence[RunRows]) -> PathsAtEqualAccuracy:
    """Measure the path of every run until a common validation accuracy, whatever the lengths of the trainings.

    A path through more snapshots is longer, so all runs must have snapshots at one interval. A last interval that is
    shorter, because the training ended, does not count.

    Args:
        first: The runs of one model.
        second: The runs of the other model.
    """
    courses = [list(map(course_of, side)) for side in (first, second)]
    known = [[course for course in side if course] for side in courses]
    intervals = {_interval(course) for side in known for course in side}
    level = min(arithmetic_mean(course.accuracy[-1] for course in side) for side in known) - _ROUNDING
    one, other = (_paths_until(level, side) for side in courses)
    short = sum(float(course.accuracy.max()) < level for side in known for course in side)
    return PathsAtEqualAccuracy(level, one, other, short, _obstacle(intervals, known, level))


def course_of(run: RunRows) -> Course | None:
    """Return the course of a run, without a last interval that is shorter than the first; None if there is none."""
    accuracies = {row.epoch: row.value for row in run.of("accuracy") if row.condition == VALIDATION}
    lengths = {row.epoch: row for row in run.of(PATH_LENGTH, HEADLINE) if not row.layer}
    epochs = sorted(accuracies)
    if len(epochs) < 2 or set(epochs[1:]) - set(lengths) or any(map(math.isnan, accuracies.values())):
        return None
    if epochs[-1] - epochs[-2] < epochs[1] - epochs[0]:
        epochs = epochs[:-1]
    rows = [lengths[epoch] for epoch in epochs[1:]]
    return Course(
        np.array(epochs),
        np.array([accuracies[epoch] for epoch in epochs]),
        np.array([0.0, *(row.value for row in rows)]),
        np.array([0.0, *(row.error for row in rows)]),
    )


def _paths_until(level: float, courses: Sequence[Course | None]) -> Side:
    paths = [course.until(level) if course else (math.nan, math.nan) for course in courses]
    return Side([path for path, _ in paths], [error for _, error in paths])


def _interval(course: Course) -> float:
    """The interval of the snapshots; NaN if they have several."""
    intervals = set(np.diff(course.epochs).tolist())
    return intervals.pop() if len(intervals) == 1 else math.nan


def _obstacle(intervals: set[float], known: Sequence[Sequence[Course]], level: float) -> str:
    if not all(known):
        return ""
    if len(intervals) > 1 or any(map(math.isnan, intervals)):
        return "the snapshots have different intervals, and a path through more snapshots is longer"
    if any(course.accuracy[0] >= level for course in itertools.chain(*known)):
        return f"a run has the common accuracy of {level:.3g} before training"
    return ""
