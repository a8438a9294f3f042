"""A run of a study done: trained where needed, measured, its files written; what is already there is kept."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import LightningDataModule, LightningModule

from lightning_topolip.files import write_json
from lightning_topolip.study.config import StudyConfig
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.measures import measure_course
from lightning_topolip.study.runs import Run, fingerprint, make_data, make_model
from lightning_topolip.study.snapshots import Snapshot, snapshots_in
from lightning_topolip.study.training import train
from lightning_topolip.study.versions import versions

Tell = Callable[[str, int, int], None]
"""Called with a stage, ``"training"``, ``"measuring"`` or ``"failed"``, and the number of its parts done and of all."""


@dataclass(frozen=True)
class Job:
    """A run with all that it takes to do it.

    Attributes:
        run: Which one.
        config: The study.
    """

    run: Run
    config: StudyConfig

    @property
    def rows(self) -> Path:
        """The run's part of the results."""
        return self.run.folder / "rows.csv"

    @property
    def diagrams(self) -> Path:
        """Some of the run's diagrams."""
        return self.run.folder / "diagrams.json"

    @property
    def trained_with(self) -> str:
        """A fingerprint of all that the weights depend on."""
        run, config = self.run, self.config
        parts = [asdict(part) for part in (config.models[run.model], config.data[run.data], config.training)]
        return fingerprint(parts, config.epochs_of(run.model), run.seed, self._checkpoint_files())

    @property
    def measured_with(self) -> str:
        """A fingerprint of all that the numbers depend on."""
        options = (self.config.smoothness, self.config.lipschitz, self.config.robustness)
        return fingerprint(self.trained_with, [asdict(part) for part in options])

    @property
    def trained(self) -> dict[str, Any]:
        """What is known of the finished training of this very job; empty where there is none."""
        return self._stamp_of("trained", self.trained_with)

    @property
    def measured(self) -> dict[str, Any]:
        """What is known of the finished measurements of this very job; empty where there are none."""
        files = self.rows.is_file() and self.diagrams.is_file()
        return self._stamp_of("measured", self.measured_with) if files else {}

    def do(self, device: str = "cpu", tell: Tell = lambda stage, done, total: None) -> None:
        """Train and measure what is not there yet.

        Args:
            device: Where.
            tell: Called as the work goes on.
        """
        if self.measured:
            tell("measuring", 1, 1)
            return
        run, config = self.run, self.config
        self._withdraw("measured")
        with _threads(config.training.threads), _noted() as caught:
            data = make_data(config.data[run.data], run.seed)
            model = make_model(config.models[run.model], data, run.seed)
            snapshots = self._snapshots(model, data, device, lambda *done: tell("training", *done))
            start = time.perf_counter()
            course = measure_course(model.to(device), data, snapshots, config, lambda *done: tell("measuring", *done))
        Results(
            Row(run.data, run.model, run.seed, float(epochs), found.quantity, found.variant, found.layer,
                found.condition, float(found.strength), float(found.value))
            for epochs, found in course.found
        ).write(self.rows)  # fmt: skip
        write_json(self.diagrams, {"epoch": snapshots[-1].epochs, "layers": course.diagrams})
        self._stamp("measured", self.measured_with, start, device=device, warnings=_worth_telling(caught))

    def _snapshots(
        self, model: LightningModule, data: LightningDataModule, device: str, tell: Callable[[int, int], None]
    ) -> list[Snapshot]:
        run, config = self.run, self.config
        given = self._given_checkpoints()
        if given:
            return snapshots_in(given)
        folder = run.folder / "snapshots"
        if not self.trained:
            if not self._stamp_of("training", self.trained_with):
                self._withdraw("trained")
                for path in folder.glob("*"):
                    path.unlink()
                self._stamp("training", self.trained_with, time.perf_counter())
            start = time.perf_counter()
            train(model, data, config.epochs_of(run.model), config.training, folder, run.seed, device, tell)
            self._stamp("trained", self.trained_with, start, device=device)
        return snapshots_in(folder)

    def _given_checkpoints(self) -> Path | None:
        given = self.config.models[self.run.model].checkpoints
        return Path(given.format(data=self.run.data, seed=self.run.seed)) if given else None

    def _checkpoint_files(self) -> list[tuple[str, int, int]]:
        given = self._given_checkpoints()
        files = [(path.name, path.stat()) for path in sorted(given.glob("*.ckpt"))] if given else []
        return [(name, found.st_size, found.st_mtime_ns) for name, found in files]

    def _stamp(self, stage: str, what: str, start: float, **more: Any) -> None:
        seconds = round(time.perf_counter() - start, 1)
        write_json(self.run.stamp(stage), {"fingerprint": what, "seconds": seconds, "versions": versions(), **more})

    def _stamp_of(self, stage: str, what: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.run.stamp(stage).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if found.get("fingerprint") == what else {}

    def _withdraw(self, stage: str) -> None:
        """Take back what a stamp says before the files that it vouches for change."""
        self.run.stamp(stage).unlink(missing_ok=True)


@contextmanager
def _noted() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings, and keep Lightning's greetings out of the progress bars."""
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        lightning.setLevel(level)


def _worth_telling(caught: list[warnings.WarningMessage]) -> list[str]:
    advice = (FutureWarning, DeprecationWarning, PendingDeprecationWarning, PossibleUserWarning)
    return list(dict.fromkeys(str(found.message) for found in caught if not issubclass(found.category, advice)))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
