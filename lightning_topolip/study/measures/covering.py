"""Covering curves of every layer."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lightning_topolip.study.judging.summaries import AT_INPUT_SPACING
from lightning_topolip.study.measures.quantity import Matrices, Quantity
from lightning_topolip.topology.geometry import CoveringNumbers, covering_numbers, nearest_neighbour_distance
from lightning_topolip.topology.names import INPUT


def covering_curves(distances: Matrices) -> Iterator[Quantity]:
    """Yield upper and lower bounds, ``covering_number`` and ``packing_number``, by radius in units of the scale.

    The variant `AT_INPUT_SPACING` has one radius, at which the curves are steep: the median distance of a sample from
    its nearest neighbour in the input, in units of the input's scale.
    """
    for layer, matrix in distances.items():
        yield from _covering(layer, covering_numbers(matrix), "")
    if INPUT in distances:
        radius = nearest_neighbour_distance(distances[INPUT])
        for layer, matrix in distances.items() if math.isfinite(radius) else ():
            yield from _covering(layer, covering_numbers(matrix, [radius]), AT_INPUT_SPACING)


def _covering(layer: str, numbers: CoveringNumbers, variant: str) -> Iterator[Quantity]:
    for radius, upper, lower in zip(numbers.radii, numbers.upper, numbers.lower, strict=True):
        yield Quantity("covering_number", upper, variant, layer, "", radius)
        yield Quantity("packing_number", lower, variant, layer, "", radius)
