"""One fit's analyses: the probe, the cost, now or in the background, and what is recorded of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lightning_topolip.display.loggers import log_scalars
from lightning_topolip.network.batches import samples_in
from lightning_topolip.network.layers import resolve_layers
from lightning_topolip.network.measure import Forward
from lightning_topolip.network.probe import take_probe
from lightning_topolip.topology.report import SmoothnessReport
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.step_constants import LocalConstants
from lightning_topolip.trainer.analysis import analyze_in_trainer, measure_in_trainer
from lightning_topolip.trainer.background import Background
from lightning_topolip.trainer.budget import Cost, Ledger, Pilot, fitting_size
from lightning_topolip.trainer.lipschitz import local_constants
from lightning_topolip.trainer.probe import take_trainer_probe
from lightning_topolip.trainer.ranks import agreed
from lightning_topolip.trainer.recorder import Recorder
from lightning_topolip.trainer.schedule import Moment
from lightning_topolip.trainer.workers import Workers
from lightning_topolip.wasserstein import compile_kernels


@dataclass(frozen=True)
class _HandedOver:
    """What waits in this process for an analysis in the background."""

    moment: Moment
    local_lipschitz: LocalConstants | None


class Analyst:
    """Analyses the network of a trainer whenever it is asked to.

    What a process does alone depends on its rank; whatever the processes do together, each of them does.

    Args:
        trainer: The trainer.
        pl_module: Its module.
        layers: Which layers, as `resolve_layers` takes them.
        source: Where the probe comes from.
        probe_size: Most samples of the probe.
        settings: What to compute.
        forward_fn: Called as ``forward_fn(pl_module, batch)``.
        recorder: What takes the results.
        ledger: What counts their seconds.
        workers: Number of processes that compute persistence; 0 for none.
        lipschitz: Number of samples for local Lipschitz constants; 0 for none.

    Attributes:
        names: Names of the layers, as far as the structure of the module tells.

    Raises:
        ValueError: If a layer does not exist.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        *,
        layers: str | Sequence[str],
        source: Any,
        probe_size: int,
        settings: Settings,
        forward_fn: Forward,
        recorder: Recorder,
        ledger: Ledger,
        workers: int = 0,
        lipschitz: int = 0,
    ) -> None:
        self.names = resolve_layers(pl_module, layers)
        self._layers = layers
        self._ledger = ledger
        self._trainer = trainer
        self._module = pl_module
        self._source = source
        self._size = probe_size
        self._settings = settings
        self._forward_fn = forward_fn
        self._recorder = recorder
        self._probe: Any = None
        self._workers = Workers(workers) if workers else None
        self._lipschitz = lipschitz
        self._background: Background[_HandedOver] | None = None
        self._when_full: str = "wait"
        self._skipped = 0

    def go_to_background(self, queue_size: int, when_full: Literal["wait", "skip"]) -> None:
        """Compute persistence and distances in a process of their own from now on.

        Args:
            queue_size: Most analyses under way.
            when_full: Whether to wait for room or to skip the analysis.
        """
        self._background, self._when_full = Background(queue_size), when_full
        if self._trainer.is_global_zero:
            self._background.start()

    def prepare(self, share: float | None, epochs: float) -> None:
        """Take the probe, smaller where the budget wants it, and say what an analysis costs.

        Args:
            share: Share of training time that analyses may take, or None.
            epochs: Epochs from one analysis to the next.
        """
        with self._ledger.counted():
            if self._workers:
                self._workers.start()
            try:
                probe = self._taken_probe()
                cost = agreed(self._trainer, lambda: self._predicted_cost(probe, share, epochs))
            except Exception:
                return  # the analysis will fail too, and say it
            cost = self._trainer.strategy.broadcast(cost)
            self._probe = take_probe(probe, cost.points)
            rank_zero_info(f"TopoLip, {self.names[0]} to {self.names[-1]}: {cost}.")

    def analyze(self, moment: Moment) -> None:
        """Analyse now, or hand the distances to the background.

        Args:
            moment: Where training stands.

        Raises:
            Exception: What failed, under ``on_error="raise"``.
        """
        with self._ledger.counted():
            if self._background:
                self._hand_over(moment, self._background)
                return
            start = time.perf_counter()
            found = self.report()
            self._record(moment, found, time.perf_counter() - start)

    def report(self) -> SmoothnessReport | Exception:
        """Give one analysis of the module as it is, or why there is none."""
        try:
            probe = self._taken_probe()
            arguments = (self._trainer, self._module, probe, self._layers, self._settings, self._forward_fn)
            analyze = partial(analyze_in_trainer, *arguments, self._workers)
            if not self._lipschitz:
                return analyze()
            report = agreed(self._trainer, analyze)
            return replace(report, local_lipschitz=self._local_lipschitz(probe, report.layers))
        except Exception as error:
            return error

    def collect_together(self, drain: bool) -> None:
        """Record what came back from the background; what the first process raises, every process raises.

        Args:
            drain: Wait for everything that is under way.

        Raises:
            Exception: What failed, under ``on_error="raise"``.
        """
        if self._background:
            agreed(self._trainer, lambda: self.collect(drain))

    def collect(self, drain: bool = False) -> None:
        """Record what came back from the background.

        Args:
            drain: Wait for everything that is under way.

        Raises:
            Exception: What failed, under ``on_error="raise"``.
        """
        if self._background and self._background.under_way:
            with self._ledger.counted():
                self._record_finished(self._background, self._background.under_way if drain else 0)

    def latest(self) -> dict[str, float]:
        """Give the latest numbers, the same on every process."""
        latest = self._recorder.latest
        return self._trainer.strategy.broadcast(latest) if self._background else latest

    def serves(self, trainer: Trainer) -> bool:
        """Tell whether this is the analyst of a trainer."""
        return self._trainer is trainer

    def stop(self) -> None:
        """End the workers; what is under way is lost."""
        for processes in (self._background, self._workers):
            if processes:
                processes.stop()

    def _taken_probe(self) -> Any:
        if self._probe is None:
            seed = self._settings.seed
            self._probe = take_trainer_probe(self._trainer, self._module, self._source, self._size, seed)
        return self._probe

    def _predicted_cost(self, probe: Any, share: float | None, epochs: float) -> Cost:
        """A run that is continued keeps the size of its probe, whatever the budget."""
        compile_kernels()
        arguments = (self._layers, self._settings, self._forward_fn)
        points, last = samples_in(probe), self._recorder.history.last
        pilot = Pilot(
            lambda n: measure_in_trainer(self._trainer, self._module, take_probe(probe, n), *arguments).distances,
            self._settings,
            points,
            1 if self._background else self._trainer.world_size,
            beside=lambda: self._own_local_lipschitz(probe, self.names) if self._lipschitz else None,
        )
        if share and last:
            points = min(points, last.points)
        elif share:
            points = fitting_size(pilot, share, points, _samples_an_epoch(self._trainer) * epochs)
        return pilot.cost(points)

    def _local_lipschitz(self, probe: Any, layers: Sequence[str]) -> LocalConstants | None:
        """Every process runs the model, whose forward may wait for all of them; the first one's numbers count."""
        if not self._lipschitz:
            return None
        return self._trainer.strategy.broadcast(self._own_local_lipschitz(probe, layers))

    def _own_local_lipschitz(self, probe: Any, layers: Sequence[str]) -> LocalConstants:
        arguments = (self._trainer, self._module, probe, layers, self._lipschitz, self._forward_fn)
        return local_constants(*arguments, self._settings.seed)

    def _hand_over(self, moment: Moment, background: Background[_HandedOver]) -> None:
        if self._trainer.strategy.broadcast(background.full and self._when_full == "skip"):
            self._skipped += 1
            skipped = {f"{self._recorder.prefix}/skipped": float(self._skipped)}
            log_scalars(self._trainer.loggers, skipped, moment.logged_step)
            return
        try:
            probe = self._taken_probe()
            arguments = (self._trainer, self._module, probe, self._layers, self._settings, self._forward_fn)
            rank = self._trainer.global_rank
            measured = agreed(self._trainer, lambda: measure_in_trainer(*arguments, rank=rank))
            handed_over = _HandedOver(moment, self._local_lipschitz(probe, measured.layers))
        except Exception as error:
            self._record(moment, error, 0.0)
            return
        if self._trainer.is_global_zero:
            if background.full:
                self._record_finished(background, wait_for=1)
            background.submit(handed_over, measured.distances, self._settings, measured.failures, samples_in(probe))

    def _record_finished(self, background: Background[_HandedOver], wait_for: int) -> None:
        for finished in background.finished(wait_for):
            found = finished.report
            if isinstance(found, SmoothnessReport):
                found = replace(found, local_lipschitz=finished.key.local_lipschitz)
            self._record(finished.key.moment, found, finished.seconds)

    def _record(self, moment: Moment, found: SmoothnessReport | Exception, seconds: float) -> None:
        extra = {"seconds": seconds}
        if self._when_full == "skip":
            extra["skipped"] = float(self._skipped)
        if self._ledger.running:
            extra["overhead"] = self._ledger.overhead
        self._recorder.record(self._trainer, moment, found, extra)


def _samples_an_epoch(trainer: Trainer) -> float:
    """Training samples of an epoch on this process; NaN where the loader does not say its batch size."""
    size = getattr(trainer.train_dataloader, "batch_size", None)
    return float(trainer.num_training_batches) * size if isinstance(size, int) else float("nan")
