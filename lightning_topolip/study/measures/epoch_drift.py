"""Drift of every layer's diagrams from one snapshot to the next, and the length of their path in all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np

from lightning_topolip.study.measures.quantity import Quantity, estimated
from lightning_topolip.study.measures.smoothness import variant_of
from lightning_topolip.topology.epoch_drifts import epoch_drifts
from lightning_topolip.topology.estimate import mean_estimate
from lightning_topolip.topology.history import History
from lightning_topolip.topology.settings import View
from lightning_topolip.topology.smoothness_report import SmoothnessReport


def epoch_drift(previous: SmoothnessReport, history: History) -> Iterator[Quantity]:
    """Yield the ``epoch_drift`` per epoch of every layer, in both views, the headline's with errors.

    Args:
        previous: The report before the latest one.
        history: The training so far, whose latest report is measured.
    """
    current, interval = history.last, float(np.diff(history.epochs)[-1])
    assert current is not None
    for view in get_args(View):
        if view == current.settings.view:
            drifts = history.latest
        else:
            drifts = epoch_drifts(_without_halves(previous, view), _without_halves(current, view), interval)
        for layer, drift in drifts.items():
            variant = variant_of(replace(current.settings, view=view))
            yield from estimated("epoch_drift", drift, variant, [layer])


def path_length(history: History, *, by_layer: bool) -> Iterator[Quantity]:
    """Yield the ``path_length`` of the training so far: the mean over layers, and on request that of every layer."""
    report = history.last
    if report is None or not history.path_lengths:
        return
    variant = variant_of(report.settings)
    yield from estimated("path_length", mean_estimate(history.path_lengths.values()), variant)
    if by_layer:
        for layer, length in history.path_lengths.items():
            yield from estimated("path_length", length, variant, [layer])


def _without_halves(report: SmoothnessReport, view: View) -> SmoothnessReport:
    return replace(report, settings=replace(report.settings, view=view, halvings=0))
