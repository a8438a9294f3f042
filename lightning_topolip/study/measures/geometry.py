"""Geometry of every layer, and the pairwise Lipschitz constants, from the distance matrices alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from lightning_topolip.geometry import (
    covering_dimension,
    covering_numbers,
    participation_ratio,
    total_variance,
    two_nn_dimension,
)
from lightning_topolip.lipschitz import pairwise_lipschitz
from lightning_topolip.smoothness import INPUT
from lightning_topolip.study.measures.measured import Measured

Matrices = Mapping[str, npt.NDArray[np.float32]]


def geometry(distances: Matrices) -> Iterator[Measured]:
    """Give variance and dimensions of every layer.

    Args:
        distances: Distance matrix by layer, in the order of execution.

    Yields:
        ``total_variance``, ``two_nn_dimension``, ``participation_ratio``, ``covering_dimension``.
    """
    functions = (total_variance, two_nn_dimension, participation_ratio, covering_dimension)
    for layer, matrix in distances.items():
        for function in functions:
            yield Measured(function.__name__, function(matrix), "", layer)


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


def pairwise(distances: Matrices) -> Iterator[Measured]:
    """Give lower bounds on the Lipschitz constants between the layers.

    Args:
        distances: Distance matrix by layer, in the order of execution.

    Yields:
        ``pairwise_lipschitz`` of every step, and from the input to every layer where the input was measured.
    """
    layers = list(distances)
    for before, after in itertools.pairwise(layers):
        yield Measured(
            "pairwise_lipschitz", pairwise_lipschitz(distances[before], distances[after]).value, "step", after
        )
    for after in layers[1:] if layers[:1] == [INPUT] else ():
        value = pairwise_lipschitz(distances[INPUT], distances[after]).value
        yield Measured("pairwise_lipschitz", value, "from input", after)
