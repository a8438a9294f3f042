"""The callbacks and schedulers that monitor the logged keys, and whether they see current values."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, Trainer

from lightning_topolip.notices import Notices
from lightning_topolip.trainer.schedule import Schedule

_CHANGES_WITH_A_LOOK = ("wait_count", "best_score", "current_score", "last_epoch")


@dataclass(frozen=True)
class Sight:
    """What a monitor sees at a moment.

    Attributes:
        step: Optimizer steps taken.
        analysed: Optimizer steps taken at the latest analysis that was recorded; None before the first.
        due: Optimizer steps taken when an analysis was last due, whether or not it was made.
        at_epoch_end: Whether it is the end of an epoch.
    """

    step: int
    analysed: int | None
    due: int | None
    at_epoch_end: bool


class Monitors:
    """The monitors of one prefix within a fit; true if there are any.

    Args:
        trainer: The trainer, whose optimizers are set up.
        prefix: Prefix of the keys.
        schedule: When analyses are due.
    """

    def __init__(self, trainer: Trainer, prefix: str, schedule: Schedule) -> None:
        callbacks = [callback for callback in _callbacks(trainer) if _is_key(_monitor(callback), prefix)]
        configs = [config for config in trainer.lr_scheduler_configs if _is_key(config.monitor, prefix)]
        self._monitors: list[Any] = [*callbacks, *(config.scheduler for config in configs)]
        self._schedule = schedule
        self._notices = Notices()
        self._looks = self._looked()
        self._sight: Sight | None = None
        self.at_every_step = bool(schedule.every_n_steps) and any(config.interval == "step" for config in configs)
        self._warn_of_nan(callbacks)

    def __bool__(self) -> bool:
        return bool(self._monitors)

    def observe(self, now: Sight | None = None) -> None:
        """Warn of each monitor that has looked since the last call and saw an older value, and note what comes now.

        Args:
            now: What a monitor sees from now on; what it has seen so far by default.
        """
        looks, sight = self._looked(), self._sight
        for monitor in self._monitors:
            looked = any(map(operator.is_not, looks[id(monitor)], self._looks[id(monitor)]))
            if looked and sight and sight.analysed is not None and sight.analysed < sight.step:
                self._warn_of_age(monitor, sight)
        self._looks, self._sight = looks, now or sight

    def _looked(self) -> Mapping[int, list[object]]:
        """By monitor, attributes of which one gets a new value whenever the monitor reads one."""
        return {
            id(monitor): [getattr(monitor, name, None) for name in _CHANGES_WITH_A_LOOK] for monitor in self._monitors
        }

    def _warn_of_age(self, monitor: Any, sight: Sight) -> None:
        name = type(monitor).__name__
        skipped = sight.due is not None and sight.analysed is not None and sight.due > sight.analysed
        reason = f"that of step {sight.due} was skipped" if skipped else "none was due in between"
        advice = (
            "Give it a larger budget or queue" if skipped else f"Set TopoLipCallback({self._closer(monitor, sight)})"
        )
        self._notices.warn(
            f"{name} looked at a TopoLip value at step {sight.step} that is of step {sight.analysed}, the latest "
            f"analysis; {reason}. {advice}, or let {name} look only after an analysis.",
            key=name,
        )

    def _closer(self, monitor: Any, sight: Sight) -> str:
        """The setting that makes analyses as frequent as the looks."""
        if sight.at_epoch_end and self._schedule.every_n_epochs > 1:
            return "every_n_epochs=1"
        own = getattr(monitor, "_every_n_train_steps", None)  # of a ModelCheckpoint
        steps = math.gcd(sight.step, sight.analysed or 0, self._schedule.every_n_steps or 0, own or 0)
        return f"every_n_steps={steps}"

    def _warn_of_nan(self, callbacks: list[Callback]) -> None:
        for callback in callbacks:
            if getattr(callback, "check_finite", False):
                name = type(callback).__name__
                self._notices.warn(
                    f"{name} monitors {_monitor(callback)!r} and would end the training at the first NaN, which "
                    f"a failed analysis gives; set {name}(..., check_finite=False)."
                )


def _monitor(callback: Callback) -> object:
    return getattr(callback, "monitor", None)


def _is_key(monitor: object, prefix: str) -> bool:
    return str(monitor).startswith((f"{prefix}/", f"{prefix}_"))


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # type: ignore[attr-defined, no-any-return]  # set by a connector
