"""The probe as a validation step of a trainer would see it, the same on every process."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import RunningStage
from lightning.pytorch.utilities import CombinedLoader, rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_topolip.network.batches import move_batch
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.probe import CollectedBatches, first_loader, take_probe
from lightning_topolip.network.probe_loader import is_readable
from lightning_topolip.network.subject import Subject
from lightning_topolip.trainer.ranks import agreed

Stage = Literal["train", "validate", "test"]


def require_source(probe: Any) -> None:
    """Raise a `ValueError` for what holds no batch."""
    if isinstance(probe, (str, bytes, int, float, Dataset)):
        raise ValueError(
            f"Argument `probe` must be a DataLoader or a batch, got {probe!r}; left out, it is the validation data."
        )


class TrainerProbe:
    """Takes the probe once, on the first process, and shares it with the others.

    A loader that can be read without a trace is read on the side, see `take_probe`, and its batch passes the module's
    batch-transfer hooks once. So a hook that augments cannot make the probe differ from analysis to analysis. Of any
    other loader of the trainer, copies of the batches that it delivers to the steps are kept until there are enough.

    Args:
        trainer: The trainer.
        pl_module: The module whose hooks prepare a batch.
        source: The loader or batch to take the probe from; None for the validation data, else the training data; in a
            test the test data.
        size: Number of samples.
        subject: How samples are counted, and the seed of what the hooks draw; every random state is restored.
    """

    def __init__(self, trainer: Trainer, pl_module: LightningModule, source: Any, size: int, subject: Subject) -> None:
        self._trainer = trainer
        self._module = pl_module
        self._source = source.iterables if isinstance(source, CombinedLoader) else source
        self._size = size
        self._subject = subject
        self._delivered = CollectedBatches(size, subject.samples_fn)
        self._is_over = False
        self._announced = False
        self._error: Exception | None = None
        self._readable: dict[int, tuple[Any, bool]] = {}

    @property
    def is_ready(self) -> bool:
        """Whether the probe can be taken now; the first process knows."""
        ready = self._awaited() is None or self._is_over or self._delivered.is_complete
        if not ready and not self._announced:
            self._announced = True
            rank_zero_info(
                f"TopoLip keeps its probe from the batches that the {self._awaited()} loop delivers, because reading "
                "their loader on the side could disturb it; the first analysis is once they have been delivered. "
                "TopoLipCallback(probe=...) takes a batch at once."
            )
        return ready

    def deliver(self, stage: Stage, batch: Any, batch_idx: int) -> None:
        """Keep a copy of a batch that a loop has delivered, on the first process, if the probe waits for it."""
        if self._is_over or self._delivered.is_complete or not self._trainer.is_global_zero or self._awaited() != stage:
            return
        if batch_idx == 0:
            self._delivered, self._error = CollectedBatches(self._size, self._subject.samples_fn), None
        try:
            self._delivered.add(batch)
        except Exception as error:
            self._error = error

    def end(self, stage: Stage) -> None:
        """Note that a loop has delivered all of its batches."""
        self._is_over = self._is_over or self._awaited() == stage

    def take(self) -> Any:
        """Return the probe as one batch, on the CPU; every process has to call this.

        Raises:
            ValueError: If there is no source, or it holds fewer than 3 samples; the same on every process.
        """
        trainer = self._trainer
        awaited = trainer.strategy.broadcast(self._awaited())

        def taken() -> Any:
            if not trainer.is_global_zero:
                return None
            if awaited and self._error is not None:
                raise self._error
            return self._delivered.probe() if awaited else self._read()

        probe = agreed(trainer, taken)
        if trainer.world_size > 1:
            probe = pickle.loads(trainer.strategy.broadcast(pickle.dumps(probe)))
        if awaited:
            return probe
        return agreed(trainer, lambda: _transferred(trainer, self._module, probe, self._subject.settings.seed))

    def _read(self) -> Any:
        candidates = self._candidates()
        if not candidates:
            raise ValueError("Argument `probe` must be given if the trainer has no data loader, got None.")
        source = candidates[0][1]
        if isinstance(getattr(first_loader(source), "dataset", None), IterableDataset):
            rank_zero_info(f"TopoLip takes the first {self._size} samples of a stream as its probe.")
        return take_probe(source, self._size, self._subject.samples_fn)

    def _awaited(self) -> Stage | None:
        """The loop whose batches make the probe; None if the probe can be read at once."""
        for stage, source in self._candidates()[:1]:
            if stage is not None and not self._can_be_read(stage, source):
                return stage
        return None

    def _can_be_read(self, stage: Stage, source: Any) -> bool:
        """Look at a loader once; one that cannot be looked at cannot be read."""
        if id(source) not in self._readable:
            try:
                readable = _can_be_read(stage, source)
            except Exception:
                readable = False
            self._readable[id(source)] = (source, readable)
        return self._readable[id(source)][1]

    def _candidates(self) -> list[tuple[Stage | None, Any]]:
        """Where a probe could come from, the best first, each with the loop that delivers it, if any does."""
        trainer = self._trainer
        loaders: list[tuple[Stage, Any]] = [
            ("test", trainer.test_dataloaders if trainer.state.fn == "test" else None),
            ("validate", trainer.val_dataloaders),
            ("train", trainer.train_dataloader),
        ]
        existing = [(stage, loader) for stage, loader in loaders if loader is not None]
        if self._source is not None:
            return [(next((stage for stage, loader in existing if loader is self._source), None), self._source)]
        return list(existing)


def _can_be_read(stage: Stage, source: Any) -> bool:
    """Several training loaders deliver one batch of batches, several validation loaders one after the other."""
    loader = first_loader(source)
    if stage == "train" and loader is not source:
        return False
    return is_readable(loader) or (not isinstance(loader, DataLoader) and isinstance(loader, (list, Mapping, Tensor)))


def _transferred(trainer: Trainer, pl_module: LightningModule, probe: Any, seed: int) -> Any:
    stage, trainer.state.stage = trainer.state.stage, RunningStage.VALIDATING
    try:
        with borrowed(pl_module, seed):
            probe = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(probe))
    finally:
        trainer.state.stage = stage
    return move_batch(probe, torch.device("cpu"))
