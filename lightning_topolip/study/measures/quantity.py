"""A measured number and its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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
