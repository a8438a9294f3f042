"""What a run has shown so far: the curve of every analysis and the drift from each to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from lightning_topolip.smoothness import INPUT, SmoothnessReport, epoch_drifts
from lightning_topolip.topology import Array

_GEOMETRY = {
    "variance": "total_variance",
    "two_nn": "two_nn_dimension",
    "participation": "participation_ratio",
    "covering": "covering_dimension",
}


@dataclass
class History:
    """The training axis of one run.

    Attributes:
        epochs: Position of every analysis: epochs trained by then, 0 before training.
        steps: Optimizer steps taken by every analysis.
        curves: Smoothness curve of every analysis, by the step's later layer.
        drifts: Epoch drift from the analysis before, by layer; empty for the first analysis.
        last: The latest report, with its diagrams.
    """

    epochs: list[float] = field(default_factory=list)
    curves: list[dict[str, float]] = field(default_factory=list)
    drifts: list[dict[str, float]] = field(default_factory=list)
    last: SmoothnessReport | None = None
    steps: list[int] = field(default_factory=list)

    def add(self, epoch: float, report: SmoothnessReport, step: int = 0) -> dict[str, float]:
        """Add an analysis.

        Args:
            epoch: Epochs trained by then, later than all before.
            report: What was found.
            step: Optimizer steps taken by then.

        Returns:
            The epoch drift of every layer since the analysis before; empty for the first.
        """
        moved = epoch_drifts(self.last, report, epoch - self.epochs[-1]) if self.last else {}
        self.epochs.append(epoch)
        self.steps.append(step)
        self.curves.append(dict(zip(report.layers[1:], report.curve.tolist(), strict=True)))
        self.drifts.append(moved)
        self.last = report
        return moved

    def difference(self, report: SmoothnessReport) -> str:
        """Say why a report cannot be compared with the last one; empty where it can.

        Args:
            report: A later analysis.

        Returns:
            What differs: the settings, the size of the probe, or every layer.
        """
        last = self.last
        if last is None:
            return ""
        if last.settings != report.settings:
            return f"the settings were {last.settings} and are {report.settings}"
        if last.points != report.points:
            return (
                f"the probe had {last.points} samples and has {report.points}, and drifts of different probe sizes are "
                "not comparable"
            )
        if not set(last.layers) & set(report.layers) - {INPUT}:
            return f"the layers were {list(last.layers)} and are {list(report.layers)}"
        return ""


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


def step_names(history: History) -> list[str]:
    """List the layers at which the steps of the curves end, in the order of execution."""
    return list(dict.fromkeys(name for curve in history.curves for name in curve))


def table(rows: list[dict[str, float]], names: list[str]) -> Array:
    """Lay values by name out as a matrix.

    Args:
        rows: One mapping an analysis.
        names: The columns.

    Returns:
        Shape ``(len(rows), len(names))``, NaN where a row lacks a name.
    """
    return np.array([[row.get(name, math.nan) for name in names] for row in rows], dtype=np.float64).reshape(
        len(rows), len(names)
    )
