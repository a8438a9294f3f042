"""The cost of an analysis, predicted from small probes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lightning_topolip.topology.layer import disjoint_subsets
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report

_SMALL_SIZES = (64, 128)
_TIMED_LAYERS = 3
_ENGINE_BYTES = 64


@dataclass(frozen=True)
class Cost:
    """Predicted cost of one analysis.

    Attributes:
        layers: Number of layers, the input included.
        points: Size n of the probe.
        seconds: Time in the process that trains.
        memory: Bytes in addition to the model's own forward: the matrices of all layers and the persistence of one.
    """

    layers: int
    points: int
    seconds: float
    memory: int

    def __str__(self) -> str:
        return (
            f"{self.layers} layers, {self.points} samples: an analysis takes about {self.seconds:.2g} s "
            f"and {self.memory / 1e6:.2g} MB in addition to the forward"
        )


class CostModel:
    """Times analyses of small probes, and predicts from them the cost of a large one.

    The forward and the distances are assumed to grow like the probe from its second size on, the persistence by the
    power of n that the two sizes show, between 2 and 3.

    Args:
        measure: Returns the distance matrices of the first n samples of the probe.
        settings: The settings of an analysis.
        points: Size of the whole probe.
        ranks: Number of processes that share the layers.
        fixed_work: The part of an analysis that takes as long for a small probe as for a large one.
    """

    def __init__(
        self,
        measure: Callable[[int], Measurement],
        settings: Settings,
        points: int,
        ranks: int = 1,
        fixed_work: Callable[[], object] = lambda: None,
    ) -> None:
        sizes = [size for size in _SMALL_SIZES if size < points] or [points]
        measure(sizes[0])
        self._settings, self._ranks, self._sizes = settings, ranks, sizes
        self._forward: list[float] = []
        self._persistence: list[float] = []
        for size in sizes:
            start = time.perf_counter()
            measurement = measure(size)
            middle = time.perf_counter()
            self._layers = len(measurement.distances)
            sample = _some_layers(measurement)
            smoothness_report(sample, settings)
            self._forward.append(middle - start)
            layers_per_sample = self._layers / max(len(sample.distances), 1)
            self._persistence.append((time.perf_counter() - middle) * layers_per_sample)
        start = time.perf_counter()
        fixed_work()
        self._fixed = time.perf_counter() - start

    def cost(self, points: int) -> Cost:
        """Predict an analysis of a probe of this size."""
        exponent = 2.5
        if len(self._sizes) > 1:
            ratio = self._persistence[-1] / max(self._persistence[0], 1e-9)
            exponent = float(np.clip(math.log(ratio) / math.log(self._sizes[-1] / self._sizes[0]), 2.0, 3.0))
        subsets = len(disjoint_subsets(points, self._settings))
        growth = (points // max(subsets, 1) / self._sizes[-1]) ** exponent
        if subsets:
            growth *= subsets / (1 + 2 * self._settings.noise_splits * 0.5**exponent)
        seconds = self._fixed + self.forward(points) + self._persistence[-1] * growth / self._ranks
        return Cost(self._layers, points, seconds, points**2 * (4 * self._layers + _ENGINE_BYTES))

    def forward(self, points: int) -> float:
        """Predict the seconds of a forward with its distances."""
        return self._forward[-1] * points / self._sizes[-1]


def _some_layers(measurement: Measurement) -> Measurement:
    """Keep the first, the middle and the last layer that have distances."""
    names = [name for name, matrix in measurement.distances.items() if matrix is not None]
    indices: Sequence[int] = sorted(set(np.linspace(0, len(names) - 1, _TIMED_LAYERS).astype(int))) if names else []
    return replace(measurement, distances={names[index]: measurement.distances[names[index]] for index in indices})
