"""Who waits for a number: callbacks and schedulers that monitor a key."""

from __future__ import annotations

from lightning.pytorch import Callback, Trainer


def is_monitored(trainer: Trainer, prefix: str) -> bool:
    """Tell whether a callback or a scheduler of a trainer monitors a key that begins with a prefix.

    Args:
        trainer: The trainer, within a fit.
        prefix: What the keys begin with.

    Returns:
        Whether one does.
    """
    monitors = [getattr(callback, "monitor", None) for callback in _callbacks(trainer)]
    monitors += [config.monitor for config in trainer.lr_scheduler_configs]
    return any(str(monitor).startswith((f"{prefix}/", f"{prefix}_")) for monitor in monitors)


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # type: ignore[attr-defined, no-any-return]  # set by a connector
