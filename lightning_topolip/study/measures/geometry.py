"""Geometry of every layer, and how far the steps between them stretch, from the distance matrices alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from lightning_topolip.study.measures.measured import Measured
from lightning_topolip.topology.geometry import covering_numbers
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.pairwise import pairwise_lipschitz
from lightning_topolip.topology.report import SmoothnessReport

Matrices = Mapping[str, npt.NDArray[np.float32]]


def geometry(report: SmoothnessReport) -> Iterator[Measured]:
    """Give variance and dimensions of every layer.

    Args:
        report: An analysis with its geometry.

    Yields:
        ``total_variance``, ``two_nn_dimension``, ``participation_ratio``, ``covering_dimension``.
    """
    for layer, found in report.geometry.items():
        yield Measured("total_variance", found.total_variance, "", layer)
        yield Measured("two_nn_dimension", found.two_nn_dimension, "", layer)
        yield Measured("participation_ratio", found.participation_ratio, "", layer)
        yield Measured("covering_dimension", found.covering_dimension, "", layer)


def coverings(distances: Matrices) -> Iterator[Measured]:
    """Give the covering curves of every layer.

    Args:
        distances: Distance matrix by layer.

    Yields:
        ``covering_number`` (upper) and ``packing_number`` (lower bound) by radius in units of the layer's scale.
    """
    for layer, matrix in distances.items():
        found = covering_numbers(matrix)
        for radius, upper, lower in zip(found.radii, found.upper, found.lower, strict=True):
            yield Measured("covering_number", upper, "", layer, "", radius)
            yield Measured("packing_number", lower, "", layer, "", radius)


def stretches(report: SmoothnessReport, distances: Matrices) -> Iterator[Measured]:
    """Give lower bounds on the Lipschitz constants between the layers.

    Args:
        report: An analysis with its geometry.
        distances: Distance matrix by layer, in the order of execution.

    Yields:
        ``pairwise_lipschitz`` of every step, and from the input to every layer.
    """
    for before, after in itertools.pairwise(distances):
        value = pairwise_lipschitz(distances[before], distances[after]).value
        yield Measured("pairwise_lipschitz", value, "step", after)
    for layer, found in report.geometry.items():
        if layer != INPUT:
            yield Measured("pairwise_lipschitz", found.pairwise_lipschitz, "from input", layer)
