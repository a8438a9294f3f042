"""The logged keys and their values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from lightning_topolip.topology.estimate import Estimate, mean_estimate
from lightning_topolip.topology.history import History
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.smoothness_report import SmoothnessReport

_GEOMETRY = {
    "variance": "total_variance",
    "two_nn": "two_nn_dimension",
    "participation": "participation_ratio",
    "covering": "covering_dimension",
    "rankme": "rankme",
    "alpha_req": "alpha_req",
}
_PAIRED = ["paired_speed", "paired_speed_error"]
MOST_LAYERS = 24
_AFTER_THE_FIRST = ("epoch_drift", "epoch_drift_error", "change", "change_z", "path_length", "path_length_error")


def scalars(history: History, prefix: str) -> dict[str, float]:
    """Return the numbers of the latest analysis by logged key; the keys are listed in `TopoLipCallback`."""
    report = history.last
    assert report is not None
    headline = _headline(report, history)
    depth = {f"{prefix}_depth/{later}": float(w) for (_, later), w in zip(report.steps, report.curve, strict=True)}
    epoch = {f"{prefix}_epoch/{layer}": float(drift.value) for layer, drift in history.latest.items()}
    drifts = {f"{prefix}/{name}": value for name, value in headline.items()} | depth | epoch
    others = _geometry_scalars(report, prefix) | _lipschitz_scalars(report, prefix) | _paired_scalars(report, prefix)
    return drifts | others


def undefined_before_the_second(prefix: str) -> dict[str, float]:
    """Return NaN for the keys that a first analysis does not have, for callbacks that monitor them."""
    return {f"{prefix}/{name}": math.nan for name in _AFTER_THE_FIRST}


def headline_names(*, geometry: bool = False, lipschitz: bool = False, pairing: bool = False) -> list[str]:
    """List the keys, without the prefix, that stand for the whole network instead of one layer."""
    estimates = ["score", "speed_mean", "speed_max", "input_drift"]
    always = [*estimates, *(f"{name}_error" for name in estimates), "noise", "signal", *_AFTER_THE_FIRST]
    optional = [*_GEOMETRY.values()] * geometry + ["local_lipschitz"] * lipschitz + _PAIRED * pairing
    return always + optional


def logs_layers(when: bool | Literal["auto"], layers: Sequence[str]) -> bool:
    """Whether loggers get the numbers of every layer; ``"auto"`` of at most 24 layers."""
    return len(layers) <= MOST_LAYERS if when == "auto" else when


def without_layers(values: Mapping[str, float], prefix: str) -> dict[str, float]:
    """The numbers that stand for the whole network."""
    return {key: value for key, value in values.items() if key.startswith(f"{prefix}/")}


def _headline(report: SmoothnessReport, history: History) -> dict[str, float]:
    estimates = report.estimates
    if INPUT not in report.layers:
        del estimates["input_drift"]
    if history.latest:
        estimates["epoch_drift"] = mean_estimate(history.latest.values())
    if history.path_lengths:
        estimates["path_length"] = mean_estimate(history.path_lengths.values())
    change = history.change
    return {
        **{name: value for key, estimate in estimates.items() for name, value in _with_error(key, estimate).items()},
        "noise": report.noise,
        "signal": report.signal,
        **({"change": float(change.value), "change_z": change.z} if change else {}),
    }


def _with_error(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: float(estimate.value), f"{name}_error": float(estimate.error)}


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


def _paired_scalars(report: SmoothnessReport, prefix: str) -> dict[str, float]:
    if report.paired_drifts is None:
        return {}
    steps = zip(report.steps, report.paired_drifts.value, strict=True)
    headline = _with_error("paired_speed", report.paired_speed)
    return {f"{prefix}/{name}": value for name, value in headline.items()} | {
        f"{prefix}_paired/{later}": float(drift) for (_, later), drift in steps
    }
