"""Epoch drifts: how far the diagrams of every layer moved from one analysis to the next."""

from __future__ import annotations

from lightning_topolip.topology.drifts import step_estimates
from lightning_topolip.topology.estimate import Estimate
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.smoothness_report import SmoothnessReport


def epoch_drifts(previous: SmoothnessReport, current: SmoothnessReport, interval: float = 1.0) -> dict[str, Estimate]:
    """Estimate the drift per epoch of every layer between two analyses on one probe, in the headline's view.

    Args:
        previous: The earlier analysis.
        current: The later analysis, with the same settings and probe.
        interval: Epochs from one to the other.

    Returns:
        By layer that both hold, without the input; NaN for a layer that could not be measured.

    Raises:
        ValueError: If the settings or the probe sizes differ, or the interval is not positive.
    """
    if previous.settings != current.settings or previous.points != current.points:
        raise ValueError(
            "Arguments `previous` and `current` must come from the same settings and probe size, "
            f"got {previous.settings}, {previous.points} points and {current.settings}, {current.points} points."
        )
    if not interval > 0:
        raise ValueError(f"Argument `interval` must be positive, got {interval!r}.")
    before, now = (dict(zip(report.layers, report.topology, strict=True)) for report in (previous, current))
    names = [name for name in now if name != INPUT and name in before]
    drifts = step_estimates([(before[name], now[name]) for name in names], current.points, current.settings)
    return {name: drifts.at(index).scaled_by(1.0 / interval) for index, name in enumerate(names)}
