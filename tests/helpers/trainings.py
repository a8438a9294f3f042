"""Small trainings that the tests share."""

from __future__ import annotations

import math
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_topolip import TopoLipCallback


class Tiny(LightningModule):
    """A network with dropout and batch norm that a CPU trains in no time."""

    def __init__(self, break_at_epoch: int | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Linear(8, 8),
            nn.Dropout(0.2),
            nn.Linear(8, 8),
            nn.Linear(8, 2),
        )
        self.break_at_epoch = break_at_epoch

    def forward(self, inputs: Tensor) -> Tensor:
        broken = not self.training and self.break_at_epoch == self.current_epoch
        output: Tensor = self.layers(inputs * math.nan if broken else inputs)
        return output

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs, labels = batch
        return nn.functional.cross_entropy(self(inputs + 0.1 * torch.randn_like(inputs)), labels)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        inputs, labels = batch
        self.log("val/loss", nn.functional.cross_entropy(self.layers(inputs), labels))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


# Read a checkpoint without executing anything from it; Lightning 2.5 cannot be told to.
PLAIN_VALUES: dict[str, Any] = {"weights_only": True} if "weights_only" in signature(Trainer.fit).parameters else {}

INPUTS = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))


def loader(n: int = 48, shuffle: bool = False) -> DataLoader[Any]:
    return DataLoader(TensorDataset(INPUTS[:n], (INPUTS[:n].sum(1) > 0).long()), batch_size=16, shuffle=shuffle)


def trainer(folder: Path, *callbacks: Callback, logger: Any = False, **options: Any) -> Trainer:
    defaults = {
        "max_epochs": 3,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    defaults["enable_checkpointing"] = any(isinstance(c, ModelCheckpoint) for c in callbacks)
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), logger=logger, **{**defaults, **options})


def fit(folder: Path, callback: TopoLipCallback, *, validate: bool = True, **options: Any) -> Trainer:
    seed_everything(0, verbose=False)
    run = trainer(folder, callback, **options)
    run.fit(Tiny(), loader(shuffle=True), loader() if validate else None)
    return run


def events(logger: TensorBoardLogger) -> EventAccumulator:
    accumulator = EventAccumulator(logger.log_dir, size_guidance={"images": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


class Augmented(Dataset[tuple[Tensor, int]]):
    """Random augmentation in the data set, as training has it."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.full((3, 32, 32), index / 24) + 0.1 * torch.rand(3, 32, 32)
        return (image.flip(-1) if torch.rand(()) < 0.5 else image), index % 4


class Order(Callback):
    """Writes down the data and the random state that training sees."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append((batch[0].clone(), batch[1].clone(), torch.get_rng_state()))
