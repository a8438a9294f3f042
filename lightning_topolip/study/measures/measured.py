"""One number of one model at one moment, before it is known to which run it belongs."""

from __future__ import annotations

from typing import NamedTuple


class Measured(NamedTuple):
    """A number with its name; the fields are those of `Row`."""

    quantity: str
    value: float
    variant: str = ""
    layer: str = ""
    condition: str = ""
    strength: float = 0.0
