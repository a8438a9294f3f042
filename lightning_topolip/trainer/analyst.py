"""The analyses of one fit: the probe, the cost, now or in the background, and their records."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lightning_topolip.arguments import require_each_of
from lightning_topolip.display.loggers import log_scalars
from lightning_topolip.network.layers import resolve_layers
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.subject import Subject
from lightning_topolip.topology.engine_choice import EngineChoice
from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.topology.step_lipschitz import LocalConstants
from lightning_topolip.trainer.analysis import analyze_in_trainer, measure_in_trainer, subject_in_trainer
from lightning_topolip.trainer.background import Background
from lightning_topolip.trainer.budget import Overhead, describe_shrinking, fitting_cost, samples_per_epoch, whole_cost
from lightning_topolip.trainer.cost import Cost, Pilot
from lightning_topolip.trainer.failure import Failure, failure_of
from lightning_topolip.trainer.fingerprint import weights_fingerprint
from lightning_topolip.trainer.lipschitz import local_constants
from lightning_topolip.trainer.placement import Placement
from lightning_topolip.trainer.probe import Stage, TrainerProbe
from lightning_topolip.trainer.ranks import agreed
from lightning_topolip.trainer.recorder import Recorder
from lightning_topolip.trainer.schedule import Moment
from lightning_topolip.trainer.workers import Workers
from lightning_topolip.wasserstein import compile_kernels, kernels_are_cached


@dataclass(frozen=True)
class _Queued:
    """The part of an analysis in the background that stays in this process."""

    moment: Moment
    local_lipschitz: LocalConstants | None


class Analyst:
    """Analyses the network of a trainer on request.

    Each process does its own share of the work, and all of them take part in what they do together.

    Args:
        trainer: The trainer.
        pl_module: Its module.
        subject: The layers, how the module is called, and the settings.
        source: Where the probe comes from.
        probe_size: Largest size of the probe.
        recorder: Records the results.
        overhead: Counts their seconds.
        placement: Where persistence is computed.
        lipschitz: Number of samples for local Lipschitz constants; 0 for none.

    Attributes:
        names: Names of the layers, as far as the structure of the module tells.

    Raises:
        ValueError: If a layer, or one of the recorder's ``diagram_layers``, does not exist.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        subject: Subject,
        *,
        source: Any,
        probe_size: int,
        recorder: Recorder,
        overhead: Overhead,
        placement: Placement,
        lipschitz: int = 0,
    ) -> None:
        self.names = resolve_layers(pl_module, subject.layers)
        self._trainer = trainer
        self._module = pl_module
        self._subject = subject
        self._recorder = recorder
        self._overhead = overhead
        self._source = TrainerProbe(trainer, pl_module, source, probe_size, subject)
        self._probe: Any = None
        self._weights: dict[bool, tuple[int, ...] | None] = {}
        self._engine = EngineChoice(subject.settings.engine, recorder.notices.warn)
        self._staff = placement.staff(torch.get_num_threads())
        self._workers = Workers(self._engine, self._staff, recorder.notices)
        self._lipschitz = lipschitz
        self._background: Background[_Queued] | None = None
        if placement.background:
            self._background = Background(self._workers, self._engine, placement.queue_size)
        self._skips = placement.background and placement.when_full == "skip"
        self._skipped = 0
        require_each_of("diagram_layers", recorder.diagram_layers or (), self.names, hint="these are analysed")

    @property
    def has_probe(self) -> bool:
        """Whether the probe is there, or can be taken now."""
        return self._probe is not None or self._source.is_ready

    def deliver(self, stage: Stage, batch: Any, batch_idx: int) -> None:
        """See a batch that a loop delivers, from which the probe may have to be taken."""
        if self._probe is None:
            self._source.deliver(stage, batch, batch_idx)

    def end(self, stage: Stage) -> None:
        """Note that a loop has delivered all of its batches."""
        if self._probe is None:
            self._source.end(stage)

    def warm_up(self) -> None:
        """Compile the distances, or load them, and start the workers, so that no epoch waits for that."""
        if not kernels_are_cached():
            rank_zero_info("TopoLip compiles its distances, once per installation; this takes some seconds.")
        with self._overhead.counted():
            if self._trainer.is_global_zero or not self._background:
                self._workers.submit(compile_kernels)
            compile_kernels()

    def prepare(self, share: float | None, epochs: float) -> None:
        """Take the probe, smaller if the budget demands it, and log the cost of an analysis.

        Args:
            share: Share of training time that analyses may take, or None.
            epochs: Epochs from one analysis to the next.
        """
        with self._overhead.counted():
            try:
                probe = self._taken_probe()
                cost, too_expensive = self._predicted_costs(probe, share, epochs)
            except Exception:
                return  # the analysis will fail in the same way, and warn
            self._probe = self._first(probe, cost.points)
            shrunk = describe_shrinking(self._subject.samples_fn(probe), cost, too_expensive, share)
            names = f"{self.names[0]} to {self.names[-1]}"
            rank_zero_info(f"TopoLip, {names}: {cost}; persistence by {self._engine}.{shrunk}")

    def analyze(self, moment: Moment) -> None:
        """Analyse now, or queue the distances for the background.

        Raises:
            Exception: The error of a failed analysis, under ``on_error="raise"``.
        """
        with self._overhead.counted():
            if self._background:
                self._queue(moment, self._background)
                return
            start = time.perf_counter()
            outcome = self.report()
            self._record(moment, outcome, time.perf_counter() - start)

    def report(self) -> SmoothnessReport | Failure:
        """Analyse the module as it is; the failure of an analysis is returned."""
        try:
            probe = self._taken_probe()
            if not self._lipschitz:
                return self._analysis(probe)
            report = agreed(self._trainer, lambda: self._analysis(probe))
            return replace(report, local_lipschitz=self._local_lipschitz(probe, report.layers))
        except Exception as error:
            return self._failure(error)

    def remember_weights(self, *, analysed: bool) -> None:
        """Remember the weights as they are, analysed ones or those at the end of an epoch, for `weights_replaced`."""
        self._weights[analysed] = weights_fingerprint(self._trainer, self._module)

    def weights_replaced(self) -> bool:
        """Whether the weights are neither those that were analysed last nor those at the end of the last epoch."""
        return bool(self._weights) and weights_fingerprint(self._trainer, self._module) not in self._weights.values()

    def collect_together(self, *, drain: bool) -> None:
        """Record the results of the background on all processes; an error of the first process raises on every one.

        Args:
            drain: Whether to wait for everything that is under way.

        Raises:
            Exception: The error of a failed analysis, under ``on_error="raise"``.
        """
        if self._background:
            agreed(self._trainer, lambda: self.collect(drain=drain))

    def collect(self, *, drain: bool = False) -> None:
        """Record the results of the background on this process, see `collect_together`."""
        if self._background and self._background.under_way:
            with self._overhead.counted():
                self._record_finished(self._background, self._background.under_way if drain else 0)

    def latest(self) -> dict[str, float]:
        """The latest numbers, the same on every process."""
        latest = self._recorder.latest
        return self._trainer.strategy.broadcast(latest) if self._background else latest

    @property
    def in_background(self) -> bool:
        """Whether results arrive later than the analysis."""
        return self._background is not None

    def belongs_to(self, trainer: Trainer) -> bool:
        """Whether this is the analyst of a trainer."""
        return self._trainer is trainer

    def stop(self) -> None:
        """Stop the workers; analyses under way are lost."""
        if self._background:
            self._background.stop()
        self._workers.stop()

    def _taken_probe(self) -> Any:
        if self._probe is None:
            self._probe = self._source.take()
            chosen = subject_in_trainer(self._trainer, self._module, self._probe, self._subject)
            self._subject, sentence = chosen
            if sentence:
                self._recorder.notices.warn(f"{sentence}.")
        return self._probe

    def _first(self, probe: Any, points: int) -> Any:
        return take_probe(probe, points, self._subject.samples_fn)

    def _analysis(self, probe: Any) -> SmoothnessReport:
        return analyze_in_trainer(self._trainer, self._module, probe, self._subject, self._engine, self._workers)

    def _predicted_costs(self, probe: Any, share: float | None, epochs: float) -> tuple[Cost, Cost | None]:
        """Predict the cost with the probe of the right size, and that of the smallest one that is too large, if any.

        A resumed run keeps its size, whatever the budget.
        """
        points, last = self._subject.samples_fn(probe), self._recorder.history.last
        samples = self._trainer.strategy.broadcast(samples_per_epoch(self._trainer) * epochs)
        workers = self._workers
        if self._staff != self._staff.beside_this_thread():
            workers = Workers(self._engine, self._staff.beside_this_thread(), self._recorder.notices)
        pilot = Pilot(
            self._trainer,
            lambda n: measure_in_trainer(self._trainer, self._module, self._first(probe, n), self._subject),
            self._subject.settings,
            self._engine,
            workers,
            ranks=1 if self._background else self._trainer.world_size,
            fixed_work=lambda: self._own_local_lipschitz(probe, self.names) if self._lipschitz else None,
        )
        try:
            if share and last is None and math.isfinite(samples):
                return fitting_cost(pilot, points, share, samples)
            return whole_cost(pilot, min(points, last.points) if share and last else points), None
        finally:
            if workers is not self._workers:
                workers.stop()

    def _local_lipschitz(self, probe: Any, layers: Sequence[str]) -> LocalConstants | None:
        """Every process runs the model, whose forward may wait for all of them; the first one's numbers count."""
        if not self._lipschitz:
            return None
        return self._trainer.strategy.broadcast(self._own_local_lipschitz(probe, layers))

    def _own_local_lipschitz(self, probe: Any, layers: Sequence[str]) -> LocalConstants:
        return local_constants(self._trainer, self._module, probe, self._subject, layers, self._lipschitz)

    def _queue(self, moment: Moment, background: Background[_Queued]) -> None:
        if self._trainer.strategy.broadcast(background.full and self._skips):
            self._skipped += 1
            skipped = {f"{self._recorder.prefix}/skipped": float(self._skipped)}
            log_scalars(self._trainer.loggers, skipped, moment.logged_step)
            return
        try:
            probe, rank = self._taken_probe(), self._trainer.global_rank
            measurement = agreed(
                self._trainer,
                lambda: measure_in_trainer(self._trainer, self._module, probe, self._subject, rank=rank),
            )
            queued = _Queued(moment, self._local_lipschitz(probe, measurement.layers))
        except Exception as error:
            self._record(moment, self._failure(error), math.nan)
            return
        if self._trainer.is_global_zero:
            if background.full:
                self._record_finished(background, wait_for=1)
            background.submit(queued, measurement, self._subject.settings)

    def _record_finished(self, background: Background[_Queued], wait_for: int) -> None:
        for finished in background.finished(wait_for):
            outcome = finished.outcome
            if isinstance(outcome, Exception):
                self._record(finished.key.moment, Failure(outcome), finished.seconds)
            else:
                outcome = replace(outcome, local_lipschitz=finished.key.local_lipschitz)
                self._record(finished.key.moment, outcome, finished.seconds)

    def _failure(self, error: Exception) -> Failure:
        return failure_of(error, self._module, self._subject, has_probe=self._probe is not None)

    def _record(self, moment: Moment, outcome: SmoothnessReport | Failure, seconds: float) -> None:
        extra = {"seconds": seconds}
        if self._skips:
            extra["skipped"] = float(self._skipped)
        if self._overhead.training:
            extra["overhead"] = self._overhead.share
        self._recorder.record(self._trainer, moment, outcome, extra)
