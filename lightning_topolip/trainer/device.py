"""The device of a training, to which a module returns for a moment after Lightning has moved it away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import LightningModule, Trainer


@contextmanager
def on_training_device(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Have the module on the strategy's device; at the end of a fit Lightning moves it to the CPU."""
    device = pl_module.device
    pl_module.to(trainer.strategy.root_device)
    try:
        yield
    finally:
        pl_module.to(device)
