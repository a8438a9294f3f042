"""Training the model of a run, with snapshots; an interrupted training is resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from lightning_topolip.randomness import kept_random_numbers
from lightning_topolip.study.config import Training
from lightning_topolip.study.snapshots import SnapshotCallback, last_state


class _EpochProgress(Callback):
    def __init__(self, on_progress: Callable[[int, int], None]) -> None:
        self.on_progress = on_progress

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_progress(trainer.current_epoch + 1, trainer.max_epochs or 0)


def train(
    model: LightningModule,
    data: LightningDataModule,
    epochs: int,
    training: Training,
    folder: Path,
    seed: int,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Train a model in place, resuming an earlier call that was interrupted.

    Args:
        model: The model.
        data: Its data.
        epochs: Passes over the training data.
        training: The other options of the training.
        folder: Folder of the snapshots, and of the state from which to resume.
        seed: Seed of the random numbers drawn during training.
        device: ``"cpu"``, ``"cuda:1"``, ``"mps"``.
        on_progress: Called after every epoch with the number of epochs done and the total.
        callbacks: Callbacks of the training.

    Raises:
        KeyboardInterrupt: If it was interrupted.
    """
    place = torch.device(device)
    folder.mkdir(parents=True, exist_ok=True)
    state = last_state(folder)
    with kept_random_numbers(seed):
        trainer = Trainer(
            max_epochs=epochs,
            accelerator=place.type,
            devices=1 if place.index is None else [place.index],
            precision=training.precision,  # type: ignore[arg-type]
            gradient_clip_val=training.gradient_clip_val,
            callbacks=[*callbacks, SnapshotCallback(folder, training.every_n_epochs), _EpochProgress(on_progress)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        try:
            trainer.fit(model, data, ckpt_path=state if state.is_file() else None)
        except SystemExit as ended:  # what the trainer makes of Ctrl-C
            if isinstance(ended.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
