"""Lower bounds on Lipschitz constants from pairs of probe images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from lightning_topolip.study.measures.quantity import Matrices, Quantity
from lightning_topolip.topology import pairwise
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.smoothness_report import SmoothnessReport


def pairwise_lipschitz(report: SmoothnessReport, distances: Matrices) -> Iterator[Quantity]:
    """Yield ``pairwise_lipschitz`` of every step between layers, and from the input to every layer."""
    for before, after in itertools.pairwise(distances):
        constant = pairwise.pairwise_lipschitz(distances[before], distances[after])
        yield Quantity("pairwise_lipschitz", constant.value, "step", after)
    for layer, values in report.geometry.items():
        if layer != INPUT:
            yield Quantity("pairwise_lipschitz", values.pairwise_lipschitz, "from input", layer)
