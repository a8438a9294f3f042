"""Snapshots: the weights of a training at its start and at the ends of epochs, as checkpoint files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_topolip.files import atomic_path


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint file with its moment.

    Attributes:
        epochs: Epochs trained by then, 0 before training.
        path: The file.
    """

    epochs: int
    path: Path

    def load_into(self, model: LightningModule) -> None:
        """Give a model the weights; nothing in the file is executed."""
        content = torch.load(self.path, map_location="cpu", weights_only=True)
        model.load_state_dict(content["state_dict"])


class SnapshotCallback(Callback):
    """Write the weights before training, every so many epochs and at the end, and where to continue from.

    Args:
        folder: Where to.
        every_n_epochs: How often.
    """

    def __init__(self, folder: Path, every_n_epochs: int = 1) -> None:
        self.folder = folder
        self.every_n_epochs = every_n_epochs
        self._continued: torch.Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Keep where torch's generator of the CPU stands."""
        return {"random": torch.get_rng_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with it once training starts."""
        self._continued = state_dict["random"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the initial weights, or continue with the random numbers."""
        if self._continued is not None:
            torch.set_rng_state(self._continued)
        if trainer.global_step == 0:
            self._write(trainer, self.folder / "epoch=0.ckpt", weights_only=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write those of an epoch that is due, and the whole state."""
        done = trainer.current_epoch + 1
        if done % self.every_n_epochs == 0 or done == trainer.max_epochs:
            self._write(trainer, self.folder / f"epoch={done}.ckpt", weights_only=True)
            self._write(trainer, last_state(self.folder), weights_only=False)

    def _write(self, trainer: Trainer, path: Path, *, weights_only: bool) -> None:
        with atomic_path(path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=weights_only)


def last_state(folder: Path) -> Path:
    """Give the file from which an interrupted training continues."""
    return folder / "last.state"


def snapshots_in(folder: Path) -> list[Snapshot]:
    """Read which moments of a training a folder of checkpoints holds.

    Args:
        folder: Of checkpoints (``*.ckpt``) written before the first step or at the ends of epochs, by
            `SnapshotCallback` or by Lightning's ModelCheckpoint. Of several at one moment the first by name counts.

    Returns:
        The snapshots, earliest first.

    Raises:
        ValueError: If there is none.
    """
    found: dict[int, Snapshot] = {}
    for path in sorted(folder.glob("*.ckpt")):
        epochs = _epochs_trained(path)
        found.setdefault(epochs, Snapshot(epochs, path))
    if not found:
        raise ValueError(f"Argument `checkpoints` must be a folder with *.ckpt files, got {str(folder)!r} without any.")
    return sorted(found.values(), key=lambda snapshot: snapshot.epochs)


def _epochs_trained(path: Path) -> int:
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return 0 if content["global_step"] == 0 else int(content["epoch"]) + 1
