"""Covering curves of every layer."""

from __future__ import annotations

from collections.abc import Iterator

from lightning_topolip.study.measures.quantity import Matrices, Quantity
from lightning_topolip.topology.geometry import covering_numbers


def covering_curves(distances: Matrices) -> Iterator[Quantity]:
    """Yield upper and lower bounds, ``covering_number`` and ``packing_number``, by radius in units of the scale."""
    for layer, matrix in distances.items():
        numbers = covering_numbers(matrix)
        for radius, upper, lower in zip(numbers.radii, numbers.upper, numbers.lower, strict=True):
            yield Quantity("covering_number", upper, "", layer, "", radius)
            yield Quantity("packing_number", lower, "", layer, "", radius)
