"""Snapshots: checkpoints of a training, from its start and from the ends of epochs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_topolip.files import atomic_path
from lightning_topolip.models.weights import load_weights, read_trained


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint file.

    Attributes:
        epochs: Number of epochs trained before it was written; 0 before training.
        path: The file.
    """

    epochs: int
    path: Path

    def load_into(self, model: LightningModule) -> None:
        """Load the weights into a model, without executing code from the file.

        Raises:
            ValueError: If they are not the weights of this model; the text names the file.
        """
        weights = read_trained(self.path, "checkpoints")["state_dict"]
        try:
            model.load_state_dict(weights)
        except RuntimeError:  # names that a wrapper has changed, or another model
            load_weights(model, weights, "checkpoints", str(self.path))


class SnapshotCallback(Callback):
    """Write the weights before, during and after training, and the state from which it can be resumed.

    Args:
        folder: Folder of the files.
        every_n_epochs: Epochs between snapshots.
    """

    def __init__(self, folder: Path, every_n_epochs: int = 1) -> None:
        self.folder = folder
        self.every_n_epochs = every_n_epochs
        self._resumed_rng_state: torch.Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Save the state of torch's CPU generator."""
        return {"random": torch.get_rng_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the generator's state until training starts."""
        self._resumed_rng_state = state_dict["random"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the initial weights, or restore the generator's state of a resumed training."""
        if self._resumed_rng_state is not None:
            torch.set_rng_state(self._resumed_rng_state)
        if trainer.global_step == 0:
            self._write(trainer, self.folder / "epoch=0.ckpt", weights_only=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a snapshot and the training state if they are due."""
        epochs = trainer.current_epoch + 1
        if epochs % self.every_n_epochs == 0 or epochs == trainer.max_epochs:
            self._write(trainer, self.folder / f"epoch={epochs}.ckpt", weights_only=True)
            self._write(trainer, last_state(self.folder), weights_only=False)

    def _write(self, trainer: Trainer, path: Path, *, weights_only: bool) -> None:
        with atomic_path(path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=weights_only)


def last_state(folder: Path) -> Path:
    """Return the path of the state from which an interrupted training resumes."""
    return folder / "last.state"


def snapshots_in(folder: Path) -> list[Snapshot]:
    """List the snapshots in a folder, earliest first.

    Args:
        folder: Folder of checkpoints (``*.ckpt``) written before the first step or at the ends of epochs, by
            `SnapshotCallback` or by Lightning's ModelCheckpoint. If several were written after the same epoch, the
            first one by name is used.

    Raises:
        ValueError: If there is none, or a file is no such checkpoint; the text says what is there instead.
    """
    snapshots: dict[int, Snapshot] = {}
    for path in sorted(folder.glob("*.ckpt")):
        epochs = _epochs_trained(path)
        snapshots.setdefault(epochs, Snapshot(epochs, path))
    if not snapshots:
        raise ValueError(
            f"Argument `checkpoints` must be a folder with *.ckpt files, got {str(folder)!r}, {_contents(folder)}."
        )
    return sorted(snapshots.values(), key=lambda snapshot: snapshot.epochs)


def _epochs_trained(path: Path) -> int:
    content = read_trained(path, "checkpoints")
    return 0 if content["global_step"] == 0 else int(content["epoch"]) + 1


def _contents(folder: Path) -> str:
    """What is in place of a folder of checkpoints, and what to do."""
    if folder.is_file():
        return f"which is a file; name its folder, {str(folder.parent)!r}"
    if not folder.is_dir():
        return "which does not exist; check the path"
    below = sorted({path.parent for path in folder.glob("**/*.ckpt")})
    if below:
        return f"whose checkpoints lie deeper; name their folder, such as {str(below[0])!r}"
    names = sorted(path.name for path in folder.iterdir())[:3]
    hint = "write them with ModelCheckpoint(save_top_k=-1)"
    return f"which holds {', '.join(names)} but no *.ckpt; {hint}" if names else f"which is empty; {hint}"
