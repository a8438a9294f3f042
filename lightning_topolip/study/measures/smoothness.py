"""Smoothness over depth in every order and view, and the drift from the snapshot before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np

from lightning_topolip.study.measures.measured import Measured
from lightning_topolip.topology.report import SmoothnessReport, epoch_drifts, report_of_topology
from lightning_topolip.topology.scores import speed_max, speed_mean, topolip
from lightning_topolip.topology.settings import VIEWS, Settings, View, describe_order

ORDERS = (2.0, 1.0, math.inf)


def smoothness(report: SmoothnessReport) -> Iterator[Measured]:
    """Give the curves and scores of an analysis.

    Args:
        report: The analysis, in the settings of the headline.

    Yields:
        ``drift`` by step, named by its later layer, and ``topolip``, ``speed_mean``, ``speed_max``, for every view and
        order; ``noise``, ``signal``, ``input_drift`` of the headline; ``scale`` by layer.
    """
    headline = variant_of(report.settings)
    for order in ORDERS:
        found = report if order == report.settings.order else _in_order(report, order)
        for view in VIEWS:
            variant = f"{view} {describe_order(order)}"
            scored = found.scored_drifts(view)
            yield Measured("topolip", topolip(scored), variant)
            yield Measured("speed_mean", speed_mean(scored), variant)
            yield Measured("speed_max", speed_max(scored), variant)
            for part, drifts in found.drifts[view].items():
                if part == "all" or variant == headline:
                    named = variant if part == "all" else f"{variant} {part}"
                    for (_, later), drift in zip(found.steps, drifts.tolist(), strict=True):
                        yield Measured("drift", drift, named, later)
    yield Measured("noise", report.noise.level, headline)
    yield Measured("signal", report.noise.signal, headline)
    yield Measured("input_drift", report.input_drift, headline)
    for layer, topology in zip(report.layers, report.topology, strict=True):
        yield Measured("scale", topology.scale if topology else math.nan, "", layer)


def movement(previous: SmoothnessReport, current: SmoothnessReport, interval: float) -> Iterator[Measured]:
    """Give the drift of every layer from one snapshot to the next.

    Args:
        previous: The earlier analysis.
        current: The later one, with the same settings and probe.
        interval: Epochs between them.

    Yields:
        ``epoch_drift`` by layer, an epoch, in both views.
    """
    for view in get_args(View):
        first, second = (
            replace(report, settings=replace(report.settings, view=view)) for report in (previous, current)
        )
        for layer, drift in epoch_drifts(first, second, interval).items():
            yield Measured("epoch_drift", drift, variant_of(second.settings), layer)


def diagrams(report: SmoothnessReport) -> dict[str, dict[str, object]]:
    """Give scale and raw diagrams of the first, the middle and the last layer, as plain values.

    Args:
        report: The analysis.

    Returns:
        By layer ``scale``, ``H0``, ``H1``.
    """
    measured = [(name, found) for name, found in zip(report.layers, report.topology, strict=True) if found]
    own = measured[1:] if len(measured) > 3 else measured
    chosen = [own[i] for i in sorted({0, len(own) // 2, len(own) - 1})] if own else []
    return {
        name: {"scale": found.scale, **{f"H{k}": np.asarray(points).tolist() for k, points in found.raw.items()}}
        for name, found in chosen
    }


def variant_of(settings: Settings) -> str:
    """Name view and order, such as ``"scaled W2"``."""
    return f"{settings.view} {describe_order(settings.order)}"


def _in_order(report: SmoothnessReport, order: float) -> SmoothnessReport:
    settings = replace(report.settings, order=order, noise_splits=0)
    topology = dict(zip(report.layers, report.topology, strict=True))
    return report_of_topology(topology, settings, report.failures, report.points)
