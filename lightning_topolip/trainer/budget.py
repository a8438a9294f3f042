"""What an analysis will cost, what the analyses have cost so far, and the share of training that they may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.layer import disjoint_subsets
from lightning_topolip.topology.report import Distances, smoothness_report
from lightning_topolip.topology.settings import Settings

_PILOT_SIZES = (64, 128)
_PILOT_LAYERS = 3
_ENGINE_BYTES = 64
_FORWARDS_A_STEP = 3.0
_SMALLEST_PROBE = 64


@dataclass(frozen=True)
class Cost:
    """Prediction for one analysis.

    Attributes:
        layers: Number of layers, the input included.
        points: Size n of the probe.
        seconds: Time in the process that trains.
        memory: Bytes beside the model's own forward: the matrices of all layers and the persistence of one.
    """

    layers: int
    points: int
    seconds: float
    memory: int

    def __str__(self) -> str:
        return (
            f"{self.layers} layers, {self.points} samples: an analysis takes about {self.seconds:.2g} s "
            f"and {self.memory / 1e6:.2g} MB beside the forward"
        )


class Pilot:
    """Measures small probes, and tells from them what a large one costs.

    The forward and the distances are taken to grow like the probe from its second size on, the persistence by the
    power of n that the two sizes show, between 2 and 3.

    Args:
        measure: Gives the distance matrices of the first n samples of the probe.
        settings: What an analysis computes.
        points: Size of the whole probe.
        ranks: Number of processes that share the layers out.
        beside: What an analysis does that takes as long for a small probe as for a large one.
    """

    def __init__(
        self,
        measure: Callable[[int], Distances],
        settings: Settings,
        points: int,
        ranks: int = 1,
        beside: Callable[[], object] = lambda: None,
    ) -> None:
        sizes = [size for size in _PILOT_SIZES if size < points] or [points]
        measure(sizes[0])
        self._settings, self._ranks, self._points = settings, ranks, sizes
        self._forward: list[float] = []
        self._persistence: list[float] = []
        for size in sizes:
            start = time.perf_counter()
            distances = measure(size)
            middle = time.perf_counter()
            self._layers = len(distances)
            chosen = _some(distances)
            smoothness_report(chosen, settings)
            self._forward.append(middle - start)
            self._persistence.append((time.perf_counter() - middle) * self._layers / max(len(chosen), 1))
        start = time.perf_counter()
        beside()
        self._beside = time.perf_counter() - start

    def cost(self, points: int) -> Cost:
        """Predict an analysis.

        Args:
            points: Size of the probe.

        Returns:
            The prediction.
        """
        exponent = 2.5
        if len(self._points) > 1:
            ratio = self._persistence[-1] / max(self._persistence[0], 1e-9)
            exponent = float(np.clip(math.log(ratio) / math.log(self._points[-1] / self._points[0]), 2.0, 3.0))
        subsets = len(disjoint_subsets(points, self._settings))
        growth = (points // max(subsets, 1) / self._points[-1]) ** exponent
        if subsets:
            growth *= subsets / (1 + 2 * self._settings.noise_splits * 0.5**exponent)
        seconds = self._beside + self.forward(points) + self._persistence[-1] * growth / self._ranks
        return Cost(self._layers, points, seconds, points**2 * (4 * self._layers + _ENGINE_BYTES))

    def forward(self, points: int) -> float:
        """Predict the seconds of a forward with its distances."""
        return self._forward[-1] * points / self._points[-1]


def fitting_size(pilot: Pilot, share: float, size: int, samples_an_epoch: float) -> int:
    """Choose the largest probe whose analysis fits into its share of an epoch.

    An epoch is taken to last three forwards of all its samples: forward, backward, and what goes with them.

    Args:
        pilot: What a probe costs.
        share: Share of training time.
        size: Largest size wanted; it is halved down to 64.
        samples_an_epoch: Training samples an epoch; infinite or NaN where that is unknown.

    Returns:
        The size.
    """
    if not math.isfinite(samples_an_epoch):
        return size
    wanted = share * _FORWARDS_A_STEP * pilot.forward(1) * samples_an_epoch
    while size // 2 >= _SMALLEST_PROBE and pilot.cost(size).seconds > wanted:
        size //= 2
    return size


class Ledger:
    """Seconds of analyses against seconds of training.

    Attributes:
        spent: Seconds of all analyses so far.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        self._longest = 0.0
        self._started = math.nan
        self._spent_before = 0.0

    def start(self) -> None:
        """Begin to count training."""
        self._started, self._spent_before = time.perf_counter(), self.spent

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the block as analysis."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.spent += seconds
            self._longest = max(self._longest, seconds)

    @property
    def running(self) -> bool:
        """Whether training has begun."""
        return not math.isnan(self._started)

    @property
    def overhead(self) -> float:
        """Seconds of analyses over seconds of training without them; NaN before training."""
        return self.spent / self._trained if self._trained > 0 else math.nan

    def allows(self, share: float) -> bool:
        """Tell whether one more analysis, as long as the longest, stays under a share of the training so far.

        Args:
            share: The share.

        Returns:
            Whether it does; before training always.
        """
        return not self.running or self.spent + self._longest <= share * self._trained

    @property
    def _trained(self) -> float:
        return time.perf_counter() - self._started - (self.spent - self._spent_before)


def read_share(budget: str | float | None) -> float | None:
    """Read ``"5%"`` or ``0.05``.

    Args:
        budget: A share of training time, or None for none.

    Returns:
        The share, or None.

    Raises:
        ValueError: If it is not a share between 0 and 1.

    Example:
        >>> read_share("5%"), read_share(0.02)
        (0.05, 0.02)
    """
    if budget is None:
        return None
    try:
        share = float(budget.removesuffix("%")) / 100 if isinstance(budget, str) else float(budget)
    except (TypeError, ValueError):
        share = math.nan
    if isinstance(budget, bool) or not 0 < share < 1:
        raise ValueError(
            f"Argument `budget` must be a share of training time such as '5%' or 0.05, between 0 and 1, got {budget!r}."
        )
    return share


def _some(distances: Distances) -> dict[str, npt.NDArray[np.float32] | None]:
    measured = [name for name, matrix in distances.items() if matrix is not None]
    chosen: Sequence[int] = (
        sorted(set(np.linspace(0, len(measured) - 1, _PILOT_LAYERS).astype(int))) if measured else []
    )
    return {measured[index]: distances[measured[index]] for index in chosen}
