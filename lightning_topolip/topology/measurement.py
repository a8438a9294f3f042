"""The distances of a network's layers on one probe: all that leaves the accelerator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.names import INPUT

Distances = Mapping[str, npt.NDArray[np.float32] | None]


@dataclass(frozen=True)
class Measurement:
    """Distance matrices of a network's layers on one probe.

    Attributes:
        distances: By layer in the order of execution, each of shape ``(n, n)``, ``"<input>"`` first if there is one;
            None for a layer whose output has no distances (NaN, infinite) or that another process measures.
        failures: By layer why it is None or missing.
        points: Size n of the probe; that of the matrices by default.
        probe: A fingerprint of the samples; empty if it is not known.

    Raises:
        ValueError: If the matrices differ in size.
    """

    distances: Distances
    failures: Mapping[str, str] = field(default_factory=dict)
    points: int = 0
    probe: str = ""

    def __post_init__(self) -> None:
        """Check the sizes, and fill in the probe's."""
        sizes = {len(matrix) for matrix in self.distances.values() if matrix is not None}
        sizes |= {self.points} - {0}
        if len(sizes) > 1:
            raise ValueError(f"Argument `distances` must hold matrices of one size, got sizes {sorted(sizes)}.")
        object.__setattr__(self, "points", next(iter(sizes), 0))

    @property
    def layers(self) -> list[str]:
        """The network's own layers, without the input, in the order of execution."""
        return [name for name in self.distances if name != INPUT]
