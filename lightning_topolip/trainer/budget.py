"""The share of training time that analyses may take: the seconds spent so far, and the probe that fits."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer

from lightning_topolip.trainer.cost import Cost, Pilot

_FORWARDS_PER_STEP = 3.0
_LONGEST_PILOT = 2.0
_FIGURES_SHARE = 0.1
_FIRST_FIGURES = 1.0  # seconds, the import of matplotlib included


class Overhead:
    """Seconds of analyses and their figures among the seconds of a training, those before its first step included.

    Attributes:
        seconds: Seconds of all analyses and figures so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._longest = 0.0
        self._figures, self._latest_figures = 0.0, _FIRST_FIGURES
        self._entered = math.nan
        self._started = math.nan
        self._seconds_before = 0.0

    def start_training(self) -> None:
        """Start to count the seconds between analyses as well."""
        self._started, self._seconds_before = time.perf_counter(), self.seconds

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the block as analysis."""
        self._entered, figures = time.perf_counter(), self._figures
        try:
            yield
        finally:
            seconds = time.perf_counter() - self._entered
            self.seconds += seconds
            self._longest = max(self._longest, seconds - (self._figures - figures))
            self._entered = math.nan

    @contextmanager
    def counted_as_figures(self) -> Iterator[None]:
        """Count a part of a block that is counted as figures, so that it does not make an analysis look longer."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._latest_figures = time.perf_counter() - start
            self._figures += self._latest_figures

    @property
    def training(self) -> bool:
        """Whether training has started."""
        return not math.isnan(self._started)

    @property
    def share(self) -> float:
        """Seconds of analyses over all seconds, between 0 and 1; NaN before training."""
        return self.seconds / (self.seconds + self._trained) if self._trained > 0 else math.nan

    def allows(self, share: float) -> bool:
        """Whether one more analysis, as long as the longest, stays below a share; before training always."""
        seconds = self.seconds + self._longest
        return not self.training or seconds <= share * (seconds + self._trained)

    def allows_figures(self, budget: float | None) -> bool:
        """Whether figures, as long as the latest ones, stay below their share of all time so far.

        Their share is a tenth, or half of a budget, which analyses and figures together may not exceed either.
        """
        under_way = 0.0 if math.isnan(self._entered) else time.perf_counter() - self._entered
        waited = self.seconds + under_way + self._latest_figures
        total = waited + (self._trained - under_way if self.training else 0.0)
        share = _FIGURES_SHARE if budget is None else budget / 2
        fits = self._figures + self._latest_figures <= share * total
        return fits and (budget is None or waited <= budget * total)

    @property
    def _trained(self) -> float:
        return time.perf_counter() - self._started - (self.seconds - self._seconds_before)


def fitting_cost(pilot: Pilot, points: int, share: float, samples_per_epoch: float) -> tuple[Cost, Cost | None]:
    """Choose the largest probe, ``points`` halved down to 64 at least, whose analysis fits into its share of an epoch.

    The share is that of the analysis and the epoch together. An epoch is assumed to take three forwards of all its
    samples: the forward, and a backward of twice its cost.

    Returns:
        The cost of the chosen probe, and that of the next larger one, which does not fit, if there is one.
    """

    def limit() -> float:
        return share / (1 - share) * _FORWARDS_PER_STEP * pilot.forward(1) * samples_per_epoch

    costs = pilot.costs(points, limit)
    chosen = next(costs)
    for cost in costs:
        if cost.is_lower_bound or cost.seconds > limit():
            return chosen, cost
        chosen = cost
    return chosen, None


def whole_cost(pilot: Pilot, points: int) -> Cost:
    """The cost of the whole probe, run for two seconds at most."""
    *_, cost = pilot.costs(points, lambda: _LONGEST_PILOT)
    return cost


def describe_shrinking(whole: int, cost: Cost, too_expensive: Cost | None, share: float | None) -> str:
    """Describe by how much a budget shrinks the probe of ``whole`` samples; empty if it does not."""
    if too_expensive is None:
        return ""
    return (
        f" The budget of {share:.3g} of the training time shrinks the probe from {whole} to {cost.points} samples: "
        f"{too_expensive.points} would take {too_expensive.duration}."
    )


def samples_per_epoch(trainer: Trainer) -> float:
    """Training samples per epoch on this process; NaN if the loader has no batch size."""
    size = getattr(trainer.train_dataloader, "batch_size", None)
    return float(trainer.num_training_batches) * size if isinstance(size, int) else float("nan")


def read_share(budget: str | float | None) -> float | None:
    """Read a share of training time from ``"5%"`` or ``0.05``; None for no budget.

    Raises:
        ValueError: If it is not a share between 0 and 1.

    Example:
        >>> read_share("5%"), read_share("0.05"), read_share(0.02)
        (0.05, 0.05, 0.02)
    """
    if budget is None:
        return None
    try:
        share = float(budget[:-1]) / 100 if isinstance(budget, str) and budget.endswith("%") else float(budget)
    except (TypeError, ValueError):
        share = math.nan
    if isinstance(budget, bool) or not 0 < share < 1:
        raise ValueError(
            f"Argument `budget` must be a share of training time such as '5%' or 0.05, between 0 and 1, got {budget!r}."
        )
    return share
