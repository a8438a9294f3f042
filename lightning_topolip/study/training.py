"""Train the model of a run, leaving snapshots behind; a training that was interrupted continues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from lightning_topolip.randomness import kept_random_numbers
from lightning_topolip.study.config import Training
from lightning_topolip.study.snapshots import SnapshotCallback, last_state

Tell = Callable[[int, int], None]


class _Announcement(Callback):
    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.tell(trainer.current_epoch + 1, trainer.max_epochs or 0)


def train(
    model: LightningModule,
    data: LightningDataModule,
    epochs: int,
    training: Training,
    folder: Path,
    seed: int,
    device: str = "cpu",
    tell: Tell = lambda done, total: None,
) -> None:
    """Train a model from its start, or from where an earlier call was interrupted.

    Args:
        model: Trained in place.
        data: Its data.
        epochs: Passes over the training data.
        training: How.
        folder: Where the snapshots go; what it holds of an earlier call continues it.
        seed: Seed of what the model draws.
        device: ``"cpu"``, ``"cuda:1"``, ``"mps"``.
        tell: Called after every epoch with the number done and of all.
    """
    place = torch.device(device)
    folder.mkdir(parents=True, exist_ok=True)
    state = last_state(folder)
    with kept_random_numbers(seed):
        Trainer(
            max_epochs=epochs,
            accelerator=place.type,
            devices=1 if place.index is None else [place.index],
            precision=training.precision,  # type: ignore[arg-type]
            gradient_clip_val=training.gradient_clip_val,
            callbacks=[SnapshotCallback(folder, training.every_n_epochs), _Announcement(tell)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
        ).fit(model, data, ckpt_path=state if state.is_file() else None)
