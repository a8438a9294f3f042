"""Smoothness over depth, in every view and order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from lightning_topolip.study.measures.quantity import Quantity
from lightning_topolip.topology.scores import speed_max, speed_mean, topolip
from lightning_topolip.topology.settings import VIEWS, Settings, describe_order
from lightning_topolip.topology.smoothness_report import SmoothnessReport, report_of_topology

_ORDERS = (2.0, 1.0, math.inf)


def smoothness(report: SmoothnessReport) -> Iterator[Quantity]:
    """Yield the drifts and scores of every view and order, and noise, signal and scale of the headline.

    Drifts of a single homology dimension are those of the headline only. A drift is named by its step's later layer.
    """
    headline = variant_of(report.settings)
    for order in _ORDERS:
        ordered = report if order == report.settings.order else _in_order(report, order)
        for view in VIEWS:
            variant = f"{view} {describe_order(order)}"
            scored = ordered.scored_drifts(view)
            yield Quantity("topolip", topolip(scored), variant)
            yield Quantity("speed_mean", speed_mean(scored), variant)
            yield Quantity("speed_max", speed_max(scored), variant)
            for part, drifts in ordered.drifts[view].items():
                if part == "all" or variant == headline:
                    part_variant = variant if part == "all" else f"{variant} {part}"
                    for (_, later), drift in zip(ordered.steps, drifts.tolist(), strict=True):
                        yield Quantity("drift", drift, part_variant, later)
    yield Quantity("noise", report.noise.level, headline)
    yield Quantity("signal", report.noise.signal, headline)
    yield Quantity("input_drift", report.input_drift, headline)
    for layer, topology in zip(report.layers, report.topology, strict=True):
        yield Quantity("scale", topology.scale if topology else math.nan, "", layer)


def variant_of(settings: Settings) -> str:
    """Return view and order as one name, such as ``"scaled W2"``."""
    return f"{settings.view} {describe_order(settings.order)}"


def _in_order(report: SmoothnessReport, order: float) -> SmoothnessReport:
    settings = replace(report.settings, order=order, noise_splits=0)
    topology = dict(zip(report.layers, report.topology, strict=True))
    return report_of_topology(topology, settings, report.failures, report.points, report.engine_check)
