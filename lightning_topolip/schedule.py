"""When an analysis is due: where a training stands, and whether a multiple was reached since the last time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning.pytorch import Trainer

from lightning_topolip.history import History


@dataclass(frozen=True)
class Moment:
    """Where a training stands.

    Attributes:
        position: Epochs and parts of one that were trained. Of an endless stream the number of validations, or of
            optimizer steps where the schedule counts those.
        steps: Optimizer steps taken.
        epoch: Lightning's number of the epoch, from 0.
    """

    position: float
    steps: int
    epoch: int

    @property
    def logged_step(self) -> int:
        """Where Lightning puts what is logged at the end of an epoch."""
        return max(self.steps - 1, 0)


class Schedule:
    """Due when a multiple of n epochs or of n steps was reached since the last analysis, whether or not that failed.

    Args:
        every_n_epochs: Number of epochs; not looked at where ``every_n_steps`` is given.
        every_n_steps: Number of optimizer steps.
    """

    def __init__(self, every_n_epochs: int = 1, every_n_steps: int | None = None) -> None:
        self.every_n_epochs = every_n_epochs
        self.every_n_steps = every_n_steps
        self._validations = 0
        self._last: Moment | None = None

    def begin(self, history: History) -> None:
        """Begin anew, or go on where a history ends."""
        last = (history.epochs[-1], history.steps[-1], 0) if history.epochs else None
        self._last = Moment(*last) if last else None
        if last is None:
            self._validations = 0

    def count_validation(self) -> None:
        """Count a validation within a fit."""
        self._validations += 1

    def now(self, trainer: Trainer) -> Moment:
        """Tell where a trainer stands within a fit."""
        begun = trainer.fit_loop.epoch_progress.current.ready
        return Moment(self._position(trainer, begun), trainer.global_step, max(begun - 1, 0))

    def due(self, moment: Moment) -> bool:
        """Tell whether an analysis is due."""
        if self._last is None:
            return True
        if self.every_n_steps:
            return moment.steps // self.every_n_steps > self._last.steps // self.every_n_steps
        return moment.position // self.every_n_epochs > self._last.position // self.every_n_epochs

    def epochs_apart(self, trainer: Trainer) -> float:
        """Tell how many epochs lie between two analyses."""
        if self.every_n_steps:
            return self.every_n_steps / max(trainer.num_training_batches, 1)
        return float(self.every_n_epochs)

    def newer(self, moment: Moment) -> bool:
        """Tell whether anything was trained since the last analysis."""
        return self._last is None or moment.position > self._last.position

    def mark(self, moment: Moment) -> None:
        """Remember that an analysis was begun."""
        self._last = moment

    def _position(self, trainer: Trainer, begun: int) -> float:
        if math.isinf(trainer.num_training_batches):
            return float(trainer.global_step if self.every_n_steps else self._validations)
        batches = trainer.fit_loop.epoch_loop.batch_progress
        if batches.is_last_batch:
            return float(begun)
        return max(begun - 1 + batches.current.ready / max(trainer.num_training_batches, 1), 0.0)
