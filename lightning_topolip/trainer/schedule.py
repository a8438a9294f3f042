"""When an analysis is due: where a training stands, and whether a multiple was reached since the last analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning.pytorch import Trainer

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.topology.history import History
from lightning_topolip.trainer.progress import logged_step


@dataclass(frozen=True)
class Moment:
    """A moment of a training.

    Attributes:
        position: Epochs trained by then, with parts of an epoch. For an `IterableDataset` of unknown length the number
            of validations plus the epochs without one, or the optimizer steps if the schedule counts those. NaN
            outside of a fit.
        steps: Optimizer steps taken.
        epoch: Lightning's number of the epoch, from 0.
        logged_step: The step at which Lightning logs the moment, see `logged_step`.
    """

    position: float
    steps: int
    epoch: int
    logged_step: int = 0


class Schedule:
    """Due when a multiple of n epochs or of n steps was reached since the last analysis, whether or not that failed.

    Args:
        every_n_epochs: Number of epochs.
        every_n_steps: Number of optimizer steps, instead of epochs.

    Raises:
        ValueError: If a number is not positive or both are given.
    """

    def __init__(self, every_n_epochs: int = 1, every_n_steps: int | None = None) -> None:
        require_whole_number("every_n_epochs", every_n_epochs, 1)
        if every_n_steps is not None:
            require_whole_number("every_n_steps", every_n_steps, 1)
            if every_n_epochs != 1:
                raise ValueError(
                    f"Argument `every_n_steps` must be given without `every_n_epochs`, got {every_n_steps} and "
                    f"{every_n_epochs}; leave one of them out."
                )
        self.every_n_epochs = every_n_epochs
        self.every_n_steps = every_n_steps
        self._last: Moment | None = None
        self._boundaries = 0
        self._counted = False
        self._interrupted_epochs = 0

    def begin(self, trainer: Trainer, history: History) -> None:
        """Start over, or continue at the end of the first process's history; every process has to call this."""
        last = Moment(history.epochs[-1], history.optimizer_steps[-1], 0) if history.epochs else None
        self._last = trainer.strategy.broadcast(last)
        self._boundaries = int(self._last.position) if self._last else 0
        self._interrupted_epochs = 0

    def begin_epoch(self, trainer: Trainer) -> None:
        """Start an epoch; one that an error interrupted in an earlier fit starts again, and counts once."""
        self._counted = False
        self._interrupted_epochs = trainer.fit_loop.epoch_progress.current.ready - trainer.current_epoch - 1

    def end_validation(self) -> None:
        """Count a validation within a fit."""
        self._boundaries += 1
        self._counted = True

    def end_epoch(self) -> None:
        """Count an epoch without validation, once."""
        self._boundaries += not self._counted
        self._counted = True

    def now(self, trainer: Trainer) -> Moment:
        """The present moment of a trainer within a fit."""
        started = trainer.fit_loop.epoch_progress.current.ready - self._interrupted_epochs
        position = self._position(trainer, started)
        return Moment(position, trainer.global_step, max(started - 1, 0), logged_step(trainer))

    def due(self, moment: Moment) -> bool:
        """Whether an analysis is due."""
        if self._last is None:
            return True
        if self.every_n_steps:
            return moment.steps // self.every_n_steps > self._last.steps // self.every_n_steps
        return moment.position // self.every_n_epochs > self._last.position // self.every_n_epochs

    def epochs_apart(self, trainer: Trainer) -> float:
        """Epochs from one analysis to the next."""
        if self.every_n_steps:
            return self.every_n_steps / max(trainer.num_training_batches, 1)
        return float(self.every_n_epochs)

    def newer(self, moment: Moment) -> bool:
        """Whether anything was trained since the last analysis."""
        return self._last is None or moment.position > self._last.position

    @property
    def last_due(self) -> int | None:
        """Optimizer steps when an analysis was last due, whether or not it was made."""
        return self._last.steps if self._last else None

    def mark(self, moment: Moment) -> None:
        """Remember the moment of an analysis."""
        self._last = moment

    def _position(self, trainer: Trainer, started: int) -> float:
        if math.isinf(trainer.num_training_batches):
            return float(trainer.global_step if self.every_n_steps else self._boundaries)
        batches = trainer.fit_loop.epoch_loop.batch_progress
        if batches.is_last_batch:
            return float(started)
        return max(started - 1 + batches.current.ready / max(trainer.num_training_batches, 1), 0.0)
