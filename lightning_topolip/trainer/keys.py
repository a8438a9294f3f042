"""The logged keys and their values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.smoothness_report import SmoothnessReport

_GEOMETRY = {
    "variance": "total_variance",
    "two_nn": "two_nn_dimension",
    "participation": "participation_ratio",
    "covering": "covering_dimension",
}


def scalars(report: SmoothnessReport, epoch_drifts: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Return the numbers of an analysis by logged key; the keys are listed in `TopoLipCallback`.

    ``epoch_drifts`` is the epoch drift by layer, empty for a first analysis.
    """
    headline = {
        "score": report.score,
        "speed_mean": report.speed_mean,
        "speed_max": report.speed_max,
        "noise": report.noise.level,
        "signal": report.noise.signal,
    }
    if epoch_drifts:
        headline["epoch_drift"] = float(np.mean(list(epoch_drifts.values())))
    if INPUT in report.layers:
        headline["input_drift"] = report.input_drift
    depth = {f"{prefix}_depth/{later}": float(w) for (_, later), w in zip(report.steps, report.curve, strict=True)}
    epoch = {f"{prefix}_epoch/{layer}": w for layer, w in epoch_drifts.items()}
    drifts = {f"{prefix}/{name}": value for name, value in headline.items()} | depth | epoch
    return drifts | _geometry_scalars(report, prefix) | _lipschitz_scalars(report, prefix)


def headline_names(*, geometry: bool = False, lipschitz: bool = False) -> list[str]:
    """List the keys, without the prefix, that stand for the whole network instead of one layer."""
    always = ["score", "speed_mean", "speed_max", "epoch_drift", "noise", "signal", "input_drift"]
    return always + [*_GEOMETRY.values()] * geometry + ["local_lipschitz"] * lipschitz


def _geometry_scalars(report: SmoothnessReport, prefix: str) -> dict[str, float]:
    """The input's geometry is not logged, since the probe does not change."""
    geometry = {layer: numbers for layer, numbers in report.geometry.items() if layer != INPUT}
    if not geometry:
        return {}
    layers = {
        f"{prefix}_{key}/{layer}": getattr(numbers, name)
        for key, name in _GEOMETRY.items()
        for layer, numbers in geometry.items()
    }
    means = {
        f"{prefix}/{name}": float(np.mean([getattr(numbers, name) for numbers in geometry.values()]))
        for name in _GEOMETRY.values()
    }
    if INPUT in report.layers:
        layers |= {f"{prefix}_lipschitz/{layer}": numbers.pairwise_lipschitz for layer, numbers in geometry.items()}
    return means | layers


def _lipschitz_scalars(report: SmoothnessReport, prefix: str) -> dict[str, float]:
    constants = report.local_lipschitz
    if constants is None:
        return {}
    steps = {f"{prefix}_local_lipschitz/{layer}": value for layer, value in constants.steps.items()}
    return {f"{prefix}/local_lipschitz": constants.network} | steps
