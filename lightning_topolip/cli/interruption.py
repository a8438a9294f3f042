"""Ctrl-C in a training: what is kept, and how to go on."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class Interruption(Callback):
    """Notes that a training was interrupted.

    Attributes:
        trainer: The interrupted trainer; None if none was.
    """

    trainer: Trainer | None = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Note the trainer."""
        if isinstance(exception, KeyboardInterrupt):
            self.trainer = trainer

    def says_more(self, record: logging.LogRecord) -> bool:
        """Whether a line of Lightning's log says anything else than that the training was interrupted."""
        return "Detected KeyboardInterrupt" not in record.getMessage()

    def sentence(self, words: Sequence[str]) -> str:
        """Say what is kept of the run of ``topolip`` with these words, and how to go on."""
        if self.trainer is None or words[0] != "fit":
            return "interrupted; nothing was written."
        begun = f"interrupted in epoch {self.trainer.current_epoch}"
        checkpoint = self._checkpoint()
        if not checkpoint:
            return f"{begun}; no checkpoint was written yet, so the next call begins anew."
        repeated = shlex.join(["topolip", *_without_checkpoint(words), "--ckpt_path", checkpoint])
        return f"{begun}; {checkpoint} is kept, continue with: {repeated}"

    def _checkpoint(self) -> str:
        """The checkpoint that was written last, as far as the callbacks for checkpoints know; otherwise nothing."""
        callbacks = self.trainer.checkpoint_callbacks if self.trainer else []
        kept = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint)]
        return next(filter(None, (callback.last_model_path or callback.best_model_path for callback in kept)), "")


def _without_checkpoint(words: Sequence[str]) -> list[str]:
    """Leave out the checkpoint from which a training was resumed."""
    kept = [word for word in words if not word.startswith("--ckpt_path=")]
    place = kept.index("--ckpt_path") if "--ckpt_path" in kept else len(kept)
    return kept[:place] + kept[place + 2 :]
