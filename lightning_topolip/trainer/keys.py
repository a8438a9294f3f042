"""The logged keys: what they are called, and which callbacks and schedulers wait for them."""

from __future__ import annotations

import numpy as np
from lightning.pytorch import Callback, Trainer

from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.report import SmoothnessReport

_GEOMETRY = {
    "variance": "total_variance",
    "two_nn": "two_nn_dimension",
    "participation": "participation_ratio",
    "covering": "covering_dimension",
}


def scalars(report: SmoothnessReport, moved: dict[str, float], prefix: str = "topolip") -> dict[str, float]:
    """Name the numbers of an analysis as they are logged.

    Args:
        report: The analysis.
        moved: Epoch drift by layer, empty for a first analysis.
        prefix: What the keys begin with.

    Returns:
        Numbers by logged key; the keys are listed in `TopoLipCallback`.
    """
    headline = {
        "score": report.score,
        "speed_mean": report.speed_mean,
        "speed_max": report.speed_max,
        "noise": report.noise.level,
        "signal": report.noise.signal,
    }
    if moved:
        headline["epoch_drift"] = float(np.mean(list(moved.values())))
    if INPUT in report.layers:
        headline["input_drift"] = report.input_drift
    depth = {f"{prefix}_depth/{later}": float(w) for (_, later), w in zip(report.steps, report.curve, strict=True)}
    epoch = {f"{prefix}_epoch/{layer}": w for layer, w in moved.items()}
    drifts = {f"{prefix}/{name}": value for name, value in headline.items()} | depth | epoch
    return drifts | _geometry_scalars(report, prefix) | _lipschitz_scalars(report, prefix)


def headline_names(geometry: bool = False, lipschitz: bool = False) -> list[str]:
    """List the numbers of an analysis that are one for the whole network.

    Args:
        geometry: Whether the geometry is computed.
        lipschitz: Whether the local Lipschitz constants are.

    Returns:
        Names, without the prefix of the keys.
    """
    always = ["score", "speed_mean", "speed_max", "epoch_drift", "noise", "signal", "input_drift"]
    return always + [*_GEOMETRY.values()] * geometry + ["local_lipschitz"] * lipschitz


def is_monitored(trainer: Trainer, prefix: str) -> bool:
    """Tell whether a callback or a scheduler of a trainer monitors a key that begins with a prefix.

    Args:
        trainer: The trainer, within a fit.
        prefix: What the keys begin with.

    Returns:
        Whether one does.
    """
    monitors = [getattr(callback, "monitor", None) for callback in _callbacks(trainer)]
    monitors += [config.monitor for config in trainer.lr_scheduler_configs]
    return any(str(monitor).startswith((f"{prefix}/", f"{prefix}_")) for monitor in monitors)


def _geometry_scalars(report: SmoothnessReport, prefix: str) -> dict[str, float]:
    """The input's own geometry is left out, since the probe does not change."""
    own = {layer: found for layer, found in report.geometry.items() if layer != INPUT}
    if not own:
        return {}
    layers = {
        f"{prefix}_{key}/{layer}": getattr(found, number)
        for key, number in _GEOMETRY.items()
        for layer, found in own.items()
    }
    means = {
        f"{prefix}/{number}": float(np.mean([getattr(found, number) for found in own.values()]))
        for number in _GEOMETRY.values()
    }
    if INPUT in report.layers:
        layers |= {f"{prefix}_lipschitz/{layer}": found.pairwise_lipschitz for layer, found in own.items()}
    return means | layers


def _lipschitz_scalars(report: SmoothnessReport, prefix: str) -> dict[str, float]:
    found = report.local_lipschitz
    if found is None:
        return {}
    steps = {f"{prefix}_local_lipschitz/{layer}": value for layer, value in found.steps.items()}
    return {f"{prefix}/local_lipschitz": found.network} | steps


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # type: ignore[attr-defined, no-any-return]  # set by a connector
