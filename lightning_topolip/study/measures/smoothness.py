"""Smoothness over depth, in every view and order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from lightning_topolip.study.measures.quantity import Quantity, estimated
from lightning_topolip.topology.estimate import without_error
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.scores import speed_max, speed_mean, topolip
from lightning_topolip.topology.settings import VIEWS, Settings, describe_order
from lightning_topolip.topology.smoothness_report import SmoothnessReport, report_of_topology

_ORDERS = (2.0, 1.0, math.inf)
_SCORES = {"topolip": topolip, "speed_mean": speed_mean, "speed_max": speed_max}


def smoothness(report: SmoothnessReport) -> Iterator[Quantity]:
    """Yield the drifts and scores of every view and order; for the headline with errors, noise, signal and scale.

    Drifts of a single homology dimension are those of the headline only. A drift is named by its step's later layer.
    """
    headline, later = variant_of(report.settings), report.layers[1:]
    for order in _ORDERS:
        ordered = report if order == report.settings.order else _in_order(report, order)
        for view in VIEWS:
            variant = f"{view} {describe_order(order)}"
            scored, curve = without_error(ordered.scored_drifts(view)), without_error(ordered.drifts[view]["all"])
            if variant == headline:
                scored, curve = report.scored, report.curve_estimate
            for name, statistic in _SCORES.items():
                yield from estimated(name, scored.apply(statistic), variant)
            yield from estimated("drift", curve, variant, later)
    for part, drifts in report.drifts[report.settings.view].items():
        if part != "all":
            yield from (
                Quantity("drift", w, f"{headline} {part}", layer) for layer, w in zip(later, drifts, strict=True)
            )
    yield Quantity("noise", report.noise, headline)
    yield Quantity("signal", report.signal, headline)
    if report.paired_drifts is not None:
        yield from estimated("paired_speed", report.paired_speed, report.settings.view)
        yield from estimated("paired_drift", report.paired_drifts, report.settings.view, later)
    yield from estimated("input_drift", report.estimates["input_drift"], headline)
    for layer, topology in zip(report.layers, report.topology, strict=True):
        yield Quantity("scale", topology.scale if topology else math.nan, "", layer)


def variant_of(settings: Settings) -> str:
    """Return view and order as one name, such as ``"scaled W2"``."""
    return f"{settings.view} {describe_order(settings.order)}"


def _in_order(report: SmoothnessReport, order: float) -> SmoothnessReport:
    """The report in another order, without errors."""
    settings = replace(report.settings, order=order, halvings=0, pairing=False)
    topology = dict(zip(report.layers, report.topology, strict=True))
    return report_of_topology(topology, settings, Measurement({}, report.failures, report.points))
