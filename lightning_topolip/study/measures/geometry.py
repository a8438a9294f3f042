"""Variance and intrinsic dimensions of every layer."""

from __future__ import annotations

from collections.abc import Iterator

from lightning_topolip.study.measures.quantity import Quantity
from lightning_topolip.topology.smoothness_report import SmoothnessReport


def geometry(report: SmoothnessReport) -> Iterator[Quantity]:
    """Yield the ``total_variance`` and three dimensions of every layer of an analysis with geometry."""
    for layer, values in report.geometry.items():
        yield Quantity("total_variance", values.total_variance, "", layer)
        yield Quantity("two_nn_dimension", values.two_nn_dimension, "", layer)
        yield Quantity("participation_ratio", values.participation_ratio, "", layer)
        yield Quantity("covering_dimension", values.covering_dimension, "", layer)
