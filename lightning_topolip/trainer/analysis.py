"""An analysis within a trainer: in its precision, through its strategy, with the layers shared among its processes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy
from tqdm.auto import tqdm

from lightning_topolip.network.measure import measure
from lightning_topolip.network.step import forward_failure, with_working_forward
from lightning_topolip.network.subject import Forward, Subject
from lightning_topolip.topology.cuts import whole_size
from lightning_topolip.topology.engine_choice import EngineChoice
from lightning_topolip.topology.layer import LayerTopology, with_stretches
from lightning_topolip.topology.measurement import Distances, Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import SmoothnessReport, report_of_topology
from lightning_topolip.trainer.ranks import agreed, gathered
from lightning_topolip.trainer.workers import Workers, topology_by

_SECONDS_BEFORE_PROGRESS = 1.0


def measure_in_trainer(
    trainer: Trainer, pl_module: LightningModule, probe: Any, subject: Subject, *, rank: int = 0, ranks: int = 1
) -> Measurement:
    """Run the probe through the module as the trainer would, see `measure`; every process has to call it.

    Args:
        trainer: The trainer, within a fit, a validation or a test.
        pl_module: Its module.
        probe: The probe, on any device.
        subject: The layers, how the module is called, and the settings.
        rank: This process measures every ``ranks``-th layer, starting with this one.
        ranks: Number of processes that share the layers.

    Raises:
        ValueError: As `measure`.
    """
    subject = replace(subject, forward_fn=_through_strategy(trainer, subject.forward_fn))
    with torch.inference_mode(False), trainer.precision_plugin.forward_context():
        batch, subject = subject.placed(probe, pl_module.device)
        return measure(pl_module, batch, subject, rank=rank, ranks=ranks)


def subject_in_trainer(
    trainer: Trainer, pl_module: LightningModule, probe: Any, subject: Subject
) -> tuple[Subject, str]:
    """Find out how the module runs on the probe, see `with_working_forward`; every process has to call this."""
    batch = subject.trial(probe, pl_module.device)

    def failure_of(forward_fn: Forward) -> str:
        with torch.inference_mode(False), trainer.precision_plugin.forward_context():
            through = _through_strategy(trainer, forward_fn)
            failure = forward_failure(pl_module, batch, through, subject.settings.seed)
        return next(filter(None, gathered(trainer, failure)), "")

    return with_working_forward(pl_module, batch, subject, failure_of)


def analyze_in_trainer(
    trainer: Trainer,
    pl_module: LightningModule,
    probe: Any,
    subject: Subject,
    engine: EngineChoice,
    workers: Workers,
) -> SmoothnessReport:
    """Analyse on all processes of a trainer, each with its share of the layers; every process has to call it.

    Args:
        trainer: The trainer, within a fit, a validation or a test.
        pl_module: Its module.
        probe: The probe, the same on every process, on any device.
        subject: The layers, how the module is called, and the settings.
        engine: The choice of the engine; if it falls back on one process, it does so on all.
        workers: Compute persistence, several layers at once.

    Returns:
        The report, the same on every process and equal to that of a single process.

    Raises:
        Exception: The error of this process; on the others a `RuntimeError` that quotes it.
    """
    settings = subject.settings

    def share() -> tuple[Measurement, dict[str, LayerTopology | None]]:
        with _progress(trainer, subject.samples_fn(probe)) as bar:
            rank, ranks = trainer.global_rank, trainer.world_size
            measurement = measure_in_trainer(trainer, pl_module, probe, subject, rank=rank, ranks=ranks)
            bar.total = len(measurement.distances)
            return measurement, topology_in_trainer(measurement, settings, engine, workers, bar.update)

    measurement, topology = agreed(trainer, share)
    if settings.geometry and INPUT in topology:
        topology = _with_stretches(trainer, topology, measurement)
    shares = gathered(trainer, (topology, measurement.failures, engine.name, engine.check))
    joined = {name: next((layers[name] for layers, *_ in shares if layers[name]), None) for name in topology}
    failures = {name: reason for _, reasons, *_ in shares for name, reason in reasons.items()}
    for *_, name, check in shares:
        engine.follow(name, check)
    settings = replace(settings, engine=engine.name)
    distances = _joined_distances(trainer, measurement.distances) if settings.pairing else {}
    return report_of_topology(
        joined, settings, replace(measurement, distances=distances, failures=failures), engine.check
    )


def topology_in_trainer(
    measurement: Measurement,
    settings: Settings,
    engine: EngineChoice,
    workers: Workers,
    on_layer: Callable[[], object] = lambda: None,
    seconds: float | None = None,
) -> dict[str, LayerTopology | None]:
    """Compute the topology of this process's share of the layers, see `topology_by`."""
    return engine.run(
        lambda name: topology_by(workers, measurement.distances, replace(settings, engine=name), on_layer, seconds),
        measurement.distances.values(),
        settings.dimensions,
        whole_size(measurement.points, settings),
    )


def _with_stretches(
    trainer: Trainer, topology: dict[str, LayerTopology | None], measurement: Measurement
) -> dict[str, LayerTopology | None]:
    """Broadcast the input's distances from the first process; every process compares its own layers with them."""
    input_distances = trainer.strategy.broadcast(measurement.distances[INPUT])
    return agreed(trainer, lambda: with_stretches(topology, measurement.distances, input_distances))


def _joined_distances(trainer: Trainer, distances: Distances) -> Distances:
    """Every layer's distances, from the process that measured it."""
    shares = gathered(trainer, distances)
    return {name: next((part[name] for part in shares if part[name] is not None), None) for name in distances}


def _progress(trainer: Trainer, samples: int) -> tqdm[NoReturn]:
    shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
    return tqdm(desc=f"TopoLip, {samples} samples", delay=_SECONDS_BEFORE_PROGRESS, leave=False, disable=not shown)


def _through_strategy(trainer: Trainer, forward_fn: Forward) -> Forward:
    strategy = trainer.strategy
    return _through_fsdp(strategy, forward_fn) if isinstance(strategy, FSDPStrategy) else forward_fn


def _through_fsdp(strategy: FSDPStrategy, forward_fn: Forward) -> Forward:
    """Enter through the wrapper's own forward, which gathers the parameters that are sharded at the root."""

    @functools.wraps(forward_fn)
    def forward(pl_module: Any, batch: Any) -> Any:
        replaced = vars(pl_module).get("forward")

        def entered(inputs: Any) -> Any:
            restore()
            return forward_fn(pl_module, inputs)

        def restore() -> None:
            if replaced is None:
                vars(pl_module).pop("forward", None)
            else:
                pl_module.forward = replaced

        pl_module.forward = entered
        try:
            assert strategy.model is not None
            return strategy.model(batch)
        finally:
            restore()

    return forward
