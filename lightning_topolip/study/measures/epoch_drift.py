"""Drift of every layer's diagrams from one snapshot to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from lightning_topolip.study.measures.quantity import Quantity
from lightning_topolip.study.measures.smoothness import variant_of
from lightning_topolip.topology.settings import View
from lightning_topolip.topology.smoothness_report import SmoothnessReport, epoch_drifts


def epoch_drift(previous: SmoothnessReport, current: SmoothnessReport, interval: float) -> Iterator[Quantity]:
    """Yield the ``epoch_drift`` per epoch of every layer, in both views; ``interval`` is in epochs."""
    for view in get_args(View):
        first, second = (
            replace(report, settings=replace(report.settings, view=view)) for report in (previous, current)
        )
        for layer, drift in epoch_drifts(first, second, interval).items():
            yield Quantity("epoch_drift", drift, variant_of(second.settings), layer)
