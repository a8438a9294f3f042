"""What the network side hands over: the distances of every layer on one probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.names import INPUT


@dataclass(frozen=True)
class Measurement:
    """Distance matrices of a network's layers on one probe: all that leaves the accelerator.

    Attributes:
        distances: By layer in the order of execution, each of shape ``(n, n)``, float32; None where the layer's
            output has no distances (NaN, infinite) or where another rank measures it.
        failures: By layer why it is None or missing.
        rank: Which share of the layers is measured: of the layers as they run every ``ranks``-th, from this one on.
        ranks: Number of shares.
    """

    distances: dict[str, npt.NDArray[np.float32] | None]
    failures: dict[str, str]
    rank: int = 0
    ranks: int = 1

    @property
    def layers(self) -> list[str]:
        """The network's own layers that gave one output a sample, in the order of execution."""
        return [name for name in self.distances if name != INPUT]
