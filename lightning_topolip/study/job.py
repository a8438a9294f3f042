"""A run of a study executed: trained, measured and written to files, without repeating what is finished."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import LightningDataModule, LightningModule
from threadpoolctl import threadpool_limits

from lightning_topolip.files import write_compact_json, write_json
from lightning_topolip.study.config import StudyConfig
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.lock import FolderLock, locked
from lightning_topolip.study.measuring import measure_snapshots
from lightning_topolip.study.runs import Run, fingerprint, make_callbacks, make_data, make_model
from lightning_topolip.study.snapshots import Snapshot, snapshots_in
from lightning_topolip.study.training import train
from lightning_topolip.study.versions import versions
from lightning_topolip.topology.engine_choice import process_choice

OnProgress = Callable[[str, int, int], None]
"""Called with a stage (``"training"``, ``"measuring"``, ``"failed"``), and the parts done and in total."""


@dataclass(frozen=True)
class Job:
    """A run and the configuration by which it is executed.

    A finished stage leaves a record, ``<stage>.json``, with a fingerprint of everything that its files depend on; the
    stage is repeated only if the fingerprint differs. ``training.json`` marks the snapshots of an unfinished training.
    """

    run: Run
    config: StudyConfig

    @property
    def results_file(self) -> Path:
        """The run's rows of the results."""
        return self.run.folder / "rows.csv"

    @property
    def diagrams_file(self) -> Path:
        """Some of the run's persistence diagrams."""
        return self.run.folder / "diagrams.json"

    @property
    def training_fingerprint(self) -> str:
        """A fingerprint of everything that the weights depend on."""
        run, config = self.run, self.config
        parts = [asdict(part) for part in (config.models[run.model], config.data[run.data], config.training)]
        return fingerprint(parts, config.epochs_of(run.model), run.seed, self._checkpoint_files())

    @property
    def measuring_fingerprint(self) -> str:
        """A fingerprint of everything that the numbers depend on."""
        smoothness, others = asdict(self.config.smoothness), (self.config.lipschitz, self.config.robustness)
        del smoothness["engine"]  # all engines return the same diagrams
        return fingerprint(self.training_fingerprint, [smoothness, *(asdict(part) for part in others)])

    @property
    def training_record(self) -> dict[str, Any]:
        """The record of the finished training; empty if there is none with this job's fingerprint."""
        return self._read_record("trained", self.training_fingerprint)

    @property
    def measuring_record(self) -> dict[str, Any]:
        """The record of the finished measurements; empty if there is none with this job's fingerprint."""
        complete = self.results_file.is_file() and self.diagrams_file.is_file()
        return self._read_record("measured", self.measuring_fingerprint) if complete else {}

    def execute(self, device: str = "cpu", on_progress: OnProgress = lambda stage, done, total: None) -> None:
        """Train and measure on a device, except what is finished.

        Raises:
            FolderInUse: If another process is doing it.
        """
        if not self.measuring_record:
            with locked(self.run.folder) as lock:
                if not self.measuring_record:  # another process may just have finished it
                    self._execute(device, lock, on_progress)
                    return
        on_progress("measuring", 1, 1)

    def _execute(self, device: str, lock: FolderLock, on_progress: OnProgress) -> None:
        def report(*stage: Any) -> None:
            lock.require()
            on_progress(*stage)

        run, config = self.run, self.config
        self._remove_record("measured")
        with _threads(config.training.threads), _recorded_warnings() as recorded:
            data = make_data(config.data[run.data], run.seed)
            model = make_model(config.models[run.model], data, run.seed)
            snapshots = self._snapshots(model, data, device, partial(report, "training"))
            start = time.perf_counter()
            quantities, diagrams = measure_snapshots(
                model.to(device), data, snapshots, config, partial(report, "measuring")
            )
        Results(
            Row(run.data, run.model, run.seed, float(epochs), quantity.name, quantity.variant, quantity.layer,
                quantity.condition, *map(_rounded, (quantity.strength, quantity.value, quantity.error)))
            for epochs, quantity in quantities
        ).write(self.results_file)  # fmt: skip
        write_compact_json(self.diagrams_file, {"epoch": snapshots[-1].epochs, "layers": diagrams})
        self._write_record(
            "measured",
            self.measuring_fingerprint,
            start,
            device=device,
            engine=str(process_choice(config.smoothness.engine)),
            warnings=_messages(recorded),
        )

    def _snapshots(
        self,
        model: LightningModule,
        data: LightningDataModule,
        device: str,
        on_progress: Callable[[int, int], None],
    ) -> list[Snapshot]:
        """Return the given checkpoints, or the snapshots of a training, which is done now unless it is finished."""
        checkpoints = self._given_checkpoints()
        if checkpoints:
            return snapshots_in(checkpoints)
        run, config = self.run, self.config
        folder = run.folder / "snapshots"
        if not self.training_record:
            if not self._read_record("training", self.training_fingerprint):
                self._remove_record("trained")
                for path in folder.glob("*"):
                    path.unlink()
                self._write_record("training", self.training_fingerprint, time.perf_counter())
            start = time.perf_counter()
            callbacks = make_callbacks(config.models[run.model])
            epochs = config.epochs_of(run.model)
            train(model, data, epochs, config.training, folder, run.seed, device, on_progress, callbacks)
            self._write_record("trained", self.training_fingerprint, start, device=device)
        return snapshots_in(folder)

    def _given_checkpoints(self) -> Path | None:
        pattern = self.config.models[self.run.model].checkpoints
        return Path(pattern.format(data=self.run.data, seed=self.run.seed)) if pattern else None

    def _checkpoint_files(self) -> list[tuple[str, int, int]]:
        folder = self._given_checkpoints()
        files = [(path.name, path.stat()) for path in sorted(folder.glob("*.ckpt"))] if folder else []
        return [(name, status.st_size, status.st_mtime_ns) for name, status in files]

    def _record_file(self, stage: str) -> Path:
        return self.run.folder / f"{stage}.json"

    def _read_record(self, stage: str, stage_fingerprint: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self._record_file(stage).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if record.get("fingerprint") == stage_fingerprint else {}

    def _write_record(self, stage: str, stage_fingerprint: str, start: float, **details: Any) -> None:
        seconds = round(time.perf_counter() - start, 1)
        record = {"fingerprint": stage_fingerprint, "seconds": seconds, "versions": versions(), **details}
        write_json(self._record_file(stage), record)

    def _remove_record(self, stage: str) -> None:
        """Invalidate a stage before its files change."""
        self._record_file(stage).unlink(missing_ok=True)


@contextmanager
def _recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Record warnings, and keep Lightning's log messages out of the progress bars."""
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True) as recorded:
            warnings.simplefilter("always")
            yield recorded
    finally:
        lightning.setLevel(level)


def _messages(recorded: Sequence[warnings.WarningMessage]) -> list[str]:
    """List the different messages, without deprecations and Lightning's advice."""
    advice = (FutureWarning, DeprecationWarning, PendingDeprecationWarning, PossibleUserWarning)
    return list(dict.fromkeys(str(entry.message) for entry in recorded if not issubclass(entry.category, advice)))


def _rounded(value: float) -> float:
    """Keep six digits: more than any error leaves, and a third of the file."""
    return float(f"{value:.6g}")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads in torch and in numpy's libraries, whatever the process was started with."""
    previous = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(previous)
