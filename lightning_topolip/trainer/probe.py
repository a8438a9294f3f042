"""The probe as a validation step of a trainer would see it, the same on every process."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import RunningStage

from lightning_topolip.network.batches import move_batch
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.probe import take_probe
from lightning_topolip.trainer.ranks import agreed


def take_trainer_probe(trainer: Trainer, pl_module: LightningModule, source: Any, size: int, seed: int) -> Any:
    """Take the probe once, on the first process, and share it with the others.

    The module's batch-transfer hooks run here, as in a validation step, and never again, so a hook that augments cannot
    make the probe differ from analysis to analysis.

    Args:
        trainer: The trainer, within a fit.
        pl_module: The module whose hooks prepare a batch.
        source: The loader or batch to take it from; None for the validation data, else the training data; in a test the
            test data.
        size: Number of samples.
        seed: Seed of what the hooks draw; every random state is restored.

    Returns:
        One batch, on the CPU.

    Raises:
        ValueError: If there is no source, or it holds fewer than 3 samples; the same on every process.
    """
    single = trainer.world_size == 1

    def taken() -> Any:
        probe = take_probe(_source(trainer, source), size) if trainer.is_global_zero else None
        return probe if single else pickle.dumps(probe)

    probe = agreed(trainer, taken)
    if not single:
        probe = pickle.loads(trainer.strategy.broadcast(probe))
    return agreed(trainer, lambda: _transferred(trainer, pl_module, probe, seed))


def _transferred(trainer: Trainer, pl_module: LightningModule, probe: Any, seed: int) -> Any:
    stage, trainer.state.stage = trainer.state.stage, RunningStage.VALIDATING
    try:
        with borrowed(pl_module, seed):
            probe = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(probe))
    finally:
        trainer.state.stage = stage
    return move_batch(probe, torch.device("cpu"))


def _source(trainer: Trainer, source: Any) -> Any:
    test_data = trainer.test_dataloaders if trainer.state.fn == "test" else None
    for candidate in (source, test_data, trainer.val_dataloaders, trainer.train_dataloader):
        if candidate is not None:
            return candidate
    raise ValueError("Argument `probe` must be given if the trainer has no data loader, got None.")
