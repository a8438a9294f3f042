"""A measured number, its name and its error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.estimate import Estimate

Matrices = Mapping[str, npt.NDArray[np.float32]]
"""Distance matrices by layer, in the order of execution."""


class Quantity(NamedTuple):
    """A number of one model at one moment; the fields are described in `Row`, where ``name`` is the ``quantity``."""

    name: str
    value: float
    variant: str = ""
    layer: str = ""
    condition: str = ""
    strength: float = 0.0
    error: float = math.nan


def estimated(name: str, estimate: Estimate, variant: str, layers: Sequence[str] = ("",)) -> Iterator[Quantity]:
    """Yield a number, or one per layer, with its standard error over the parts of the probe."""
    for layer, value, error in zip(layers, np.ravel(estimate.value), np.ravel(estimate.error), strict=True):
        yield Quantity(name, float(value), variant, layer, error=float(error))
