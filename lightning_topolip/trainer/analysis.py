"""An analysis within a trainer: in its precision, through its strategy, shared out among its processes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy
from tqdm.auto import tqdm

from lightning_topolip.network.batches import move_batch, samples_in
from lightning_topolip.network.measure import Forward, measure
from lightning_topolip.topology.layer import LayerTopology, topology_of, with_stretches
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.report import SmoothnessReport, report_of_topology
from lightning_topolip.topology.settings import Settings
from lightning_topolip.trainer.ranks import agreed, gathered
from lightning_topolip.trainer.workers import Workers, topology_by

_SECONDS_BEFORE_PROGRESS = 1.0


def measure_in_trainer(
    trainer: Trainer,
    pl_module: LightningModule,
    probe: Any,
    layers: str | Sequence[str],
    settings: Settings,
    forward_fn: Forward,
    rank: int = 0,
    ranks: int = 1,
) -> Measurement:
    """Run the probe through the module as the trainer would; every process has to call it.

    Args:
        trainer: The trainer, within a fit, a validation or a test.
        pl_module: Its module.
        probe: The probe, on any device.
        layers: As `resolve_layers` takes them.
        settings: The reduction and the seed.
        forward_fn: Called as ``forward_fn(pl_module, batch)``.
        rank: Which share of the layers this process measures.
        ranks: Number of shares.

    Returns:
        The distances of this share.

    Raises:
        ValueError: As `measure`.
    """
    forward = _through_fsdp(trainer.strategy, forward_fn) if isinstance(trainer.strategy, FSDPStrategy) else forward_fn
    with torch.inference_mode(False), trainer.precision_plugin.forward_context():
        return measure(pl_module, move_batch(probe, pl_module.device), layers, settings, forward, rank, ranks)


def analyze_in_trainer(
    trainer: Trainer,
    pl_module: LightningModule,
    probe: Any,
    layers: str | Sequence[str],
    settings: Settings,
    forward_fn: Forward,
    workers: Workers | None = None,
) -> SmoothnessReport:
    """Analyse on all processes of a trainer, each with its share of the layers; every process has to call it.

    Args:
        trainer: The trainer, within a fit, a validation or a test.
        pl_module: Its module.
        probe: The probe, the same on every process, on any device.
        layers: As `resolve_layers` takes them.
        settings: What to compute.
        forward_fn: Called as ``forward_fn(pl_module, batch)``.
        workers: Processes that compute persistence, several layers at once; in this process without them.

    Returns:
        The report, the same on every process and the one that a single process gives.

    Raises:
        Exception: What failed on this process; on the others a `RuntimeError` that quotes it.
    """

    def share() -> tuple[Measurement, dict[str, LayerTopology | None]]:
        with _progress(trainer, samples_in(probe)) as bar:
            arguments = (trainer, pl_module, probe, layers, settings, forward_fn)
            measured = measure_in_trainer(*arguments, trainer.global_rank, trainer.world_size)
            bar.total = len(measured.distances)
            compute = partial(topology_by, workers) if workers else topology_of
            return measured, compute(measured.distances, settings, bar.update)

    measured, topology = agreed(trainer, share)
    if settings.geometry and INPUT in topology:
        topology = _with_stretches(trainer, topology, measured)
    shares = gathered(trainer, (topology, measured.failures))
    joined = {name: next((found[name] for found, _ in shares if found[name]), None) for name in topology}
    reasons = {name: reason for _, known in shares for name, reason in known.items()}
    return report_of_topology(joined, settings, reasons, samples_in(probe))


def _with_stretches(
    trainer: Trainer, topology: dict[str, LayerTopology | None], measured: Measurement
) -> dict[str, LayerTopology | None]:
    """The first process measures the input, and every one compares the layers of its share with it."""
    input_distances = trainer.strategy.broadcast(measured.distances[INPUT])
    return agreed(trainer, lambda: with_stretches(topology, measured.distances, input_distances))


def _progress(trainer: Trainer, samples: int) -> tqdm[NoReturn]:
    shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
    return tqdm(desc=f"TopoLip, {samples} samples", delay=_SECONDS_BEFORE_PROGRESS, leave=False, disable=not shown)


def _through_fsdp(strategy: FSDPStrategy, forward_fn: Forward) -> Forward:
    """Enter by the wrapper's own forward, which gathers the parameters that are sharded at the root."""

    def forward(pl_module: Any, batch: Any) -> Any:
        own = vars(pl_module).get("forward")

        def entered(inputs: Any) -> Any:
            restore()
            return forward_fn(pl_module, inputs)

        def restore() -> None:
            if own is None:
                vars(pl_module).pop("forward", None)
            else:
                pl_module.forward = own

        pl_module.forward = entered
        try:
            assert strategy.model is not None
            return strategy.model(batch)
        finally:
            restore()

    return forward
