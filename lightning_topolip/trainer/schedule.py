"""When an analysis is due: where a training stands, and whether a multiple was reached since the last time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning.pytorch import Trainer

from lightning_topolip.topology.history import History


@dataclass(frozen=True)
class Moment:
    """Where a training stands.

    Attributes:
        position: Epochs and parts of one that were trained. Of a stream of unknown length the number of validations
            and of epochs without one, or of optimizer steps where the schedule counts those.
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
        self._last: Moment | None = None
        self._boundaries = 0
        self._validated = False
        self._begun_twice = 0

    def begin(self, trainer: Trainer, history: History) -> None:
        """Begin a fit anew, or go on where the history of the first process ends.

        Args:
            trainer: The trainer; every process has to call this.
            history: What this process knows of the run.
        """
        last = Moment(history.epochs[-1], history.steps[-1], 0) if history.epochs else None
        self._last = trainer.strategy.broadcast(last)
        self._boundaries = int(self._last.position) if self._last else 0
        self._begun_twice = 0

    def begin_epoch(self, trainer: Trainer) -> None:
        """Begin an epoch; one that an error broke off in an earlier fit is begun again, and counts once."""
        self._validated = False
        self._begun_twice = trainer.fit_loop.epoch_progress.current.ready - trainer.current_epoch - 1

    def end_validation(self) -> None:
        """Count a validation within a fit."""
        self._boundaries += 1
        self._validated = True

    def end_epoch(self) -> None:
        """Count an epoch that had no validation."""
        self._boundaries += not self._validated

    def now(self, trainer: Trainer) -> Moment:
        """Tell where a trainer stands within a fit."""
        begun = trainer.fit_loop.epoch_progress.current.ready - self._begun_twice
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
            return float(trainer.global_step if self.every_n_steps else self._boundaries)
        batches = trainer.fit_loop.epoch_loop.batch_progress
        if batches.is_last_batch:
            return float(begun)
        return max(begun - 1 + batches.current.ready / max(trainer.num_training_batches, 1), 0.0)
