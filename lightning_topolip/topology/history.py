"""The history of a run: the curve of every analysis and the drift from each to the next."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np

from lightning_topolip.topology.epoch_drifts import epoch_drifts
from lightning_topolip.topology.estimate import Array, Estimate
from lightning_topolip.topology.execution_order import merged_order
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.settings import differences
from lightning_topolip.topology.smoothness_report import SmoothnessReport


@dataclass
class History:
    """The training axis of one run.

    Attributes:
        epochs: Position of every analysis: epochs trained by then, 0 before training.
        optimizer_steps: Optimizer steps taken by every analysis.
        curves: Smoothness curve of every analysis, by the step's later layer.
        curve_errors: The standard errors of the curves, likewise.
        epoch_drifts: Epoch drift from the analysis before, by layer; empty for the first analysis, and for one of other
            weights at the same position.
        last: The latest report, with its diagrams.
        latest: The latest epoch drifts, by layer, with their errors.
        change: The score now minus the score at the analysis before; None for the first analysis.
        path_lengths: How far the diagrams of every layer moved in all, the sum of its epoch drifts times their
            intervals. A step from or to an analysis in which the layer could not be measured does not count.
    """

    epochs: list[float] = field(default_factory=list)
    curves: list[dict[str, float]] = field(default_factory=list)
    curve_errors: list[dict[str, float]] = field(default_factory=list)
    epoch_drifts: list[dict[str, float]] = field(default_factory=list)
    last: SmoothnessReport | None = None
    optimizer_steps: list[int] = field(default_factory=list)
    latest: dict[str, Estimate] = field(default_factory=dict)
    change: Estimate | None = None
    path_lengths: dict[str, Estimate] = field(default_factory=dict)

    def add(self, epoch: float, report: SmoothnessReport, step: int = 0) -> dict[str, Estimate]:
        """Add an analysis, and return the epoch drift of every layer since the analysis before.

        There is none, and the result is empty, for the first analysis, and where no time has passed: weights that were
        replaced at the end of a training, such as by their average, have moved by no training.

        Args:
            epoch: Epochs trained by then, no fewer than at all analyses before.
            report: The report of the analysis.
            step: Optimizer steps taken by then.
        """
        interval = epoch - self.epochs[-1] if self.epochs else 0.0
        self.latest = epoch_drifts(self.last, report, interval) if self.last and interval else {}
        self.change = report.estimates["score"] - self.last.estimates["score"] if self.last else None
        for layer, drift in self.latest.items():
            if np.isfinite(drift.value):
                moved = drift.scaled_by(interval)
                self.path_lengths[layer] = self.path_lengths[layer] + moved if layer in self.path_lengths else moved
        self.epochs.append(epoch)
        self.optimizer_steps.append(step)
        for rows, curve in ((self.curves, report.curve), (self.curve_errors, report.curve_error)):
            rows.append(dict(zip(report.layers[1:], curve.tolist(), strict=True)))
        self.epoch_drifts.append({layer: float(drift.value) for layer, drift in self.latest.items()})
        self.last = report
        return self.latest

    def snapshot(self) -> History:
        """Return a copy that stays as it is when this history goes on."""
        return replace(self, **{name: copy(value) for name, value in vars(self).items() if name != "last"})

    def difference(self, report: SmoothnessReport) -> str:
        """Describe why a later report cannot be compared with the last one; empty if it can be.

        They differ in the settings, the size of the probe, or every layer.
        """
        last = self.last
        if last is None:
            return ""
        if last.settings != report.settings:
            then, now = differences(last.settings, report.settings)
            return f"the settings were {then} and are {now}"
        if last.points != report.points:
            return (
                f"the probe had {last.points} samples and has {report.points}, and drifts of different probe sizes are "
                "not comparable"
            )
        if not set(last.layers) & set(report.layers) - {INPUT}:
            return f"the layers were {list(last.layers)} and are {list(report.layers)}"
        return ""


def step_names(history: History) -> list[str]:
    """The layers at which the steps of the curves end, in the order of execution, see `merged_order`."""
    return merged_order(history.curves)


def layer_names(history: History) -> list[str]:
    """The layers whose epoch drifts are known or that the latest analysis saw, in the order of execution."""
    latest = [name for name in history.last.layers if name != INPUT] if history.last else []
    return merged_order([*history.epoch_drifts, *history.curves, latest])


def table(rows: list[dict[str, float]], names: list[str]) -> Array:
    """Arrange one mapping per analysis as a matrix, one column per name; NaN where a row lacks a name."""
    return np.array([[row.get(name, math.nan) for name in names] for row in rows], dtype=np.float64).reshape(
        len(rows), len(names)
    )
