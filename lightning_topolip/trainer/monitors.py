"""The callbacks and schedulers that monitor the logged keys, and whether they see current values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, Trainer

from lightning_topolip.notices import Notices

_CHANGES_WITH_A_LOOK = ("wait_count", "current_score", "last_epoch")


@dataclass(frozen=True)
class Sight:
    """What a monitor sees at a moment.

    Attributes:
        step: Optimizer steps taken.
        analysed: Optimizer steps taken at the latest analysis that was recorded; None before the first.
        due: Optimizer steps taken when an analysis was last due, whether or not it was made.
    """

    step: int
    analysed: int | None
    due: int | None


class Monitors:
    """The monitors of one prefix within a fit; true if there are any.

    Args:
        trainer: The trainer, whose optimizers are set up.
        prefix: Prefix of the keys.
        every_n_steps: Optimizer steps from one analysis to the next, or None if they follow the epochs.
    """

    def __init__(self, trainer: Trainer, prefix: str, every_n_steps: int | None = None) -> None:
        callbacks = [callback for callback in _callbacks(trainer) if _is_key(_monitor(callback), prefix)]
        configs = [config for config in trainer.lr_scheduler_configs if _is_key(config.monitor, prefix)]
        self._monitors: list[Any] = [*callbacks, *(config.scheduler for config in configs)]
        self._every_n_steps = every_n_steps
        self._notices = Notices()
        self._looks = self._looked()
        self._sight: Sight | None = None
        self.at_every_step = bool(every_n_steps) and any(config.interval == "step" for config in configs)
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
            looked = looks.get(id(monitor)) is not self._looks.get(id(monitor))
            if looked and sight and sight.analysed is not None and sight.analysed < sight.step:
                self._warn_of_age(type(monitor).__name__, sight)
        self._looks, self._sight = looks, now or sight

    def _looked(self) -> Mapping[int, object]:
        """By monitor, an attribute that gets a new value whenever the monitor reads one without an improvement."""
        return {
            id(monitor): getattr(monitor, name)
            for monitor in self._monitors
            for name in _CHANGES_WITH_A_LOOK
            if hasattr(monitor, name)
        }

    def _warn_of_age(self, monitor: str, sight: Sight) -> None:
        skipped = sight.due is not None and sight.analysed is not None and sight.due > sight.analysed
        reason = f"that of step {sight.due} was skipped" if skipped else "none was due in between"
        interval = math.gcd(sight.step, sight.analysed or 0, self._every_n_steps or 0)
        advice = "Give it a larger budget or queue" if skipped else f"Set TopoLipCallback(every_n_steps={interval})"
        self._notices.warn(
            f"{monitor} looked at a TopoLip value at step {sight.step} that is of step {sight.analysed}, the latest "
            f"analysis; {reason}. {advice}, or let {monitor} look only after an analysis.",
            key=monitor,
        )

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
