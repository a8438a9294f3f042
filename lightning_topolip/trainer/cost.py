"""The cost of an analysis, from the analyses of growing parts of the probe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as LimitExceeded
from dataclasses import dataclass, replace
from typing import TypeVar

from lightning.pytorch import Trainer

from lightning_topolip.topology.cuts import disjoint_subsets, whole_size
from lightning_topolip.topology.engine_choice import EngineChoice
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import report_of_topology
from lightning_topolip.trainer.analysis import topology_in_trainer
from lightning_topolip.trainer.ranks import agreed
from lightning_topolip.trainer.workers import Workers

Result = TypeVar("Result")

_SMALLEST_PROBE = 64
_EXPONENT = 2.5
_ENGINE_BYTES = 64


@dataclass(frozen=True)
class Cost:
    """Cost of one analysis.

    Attributes:
        layers: Number of layers, the input included.
        points: Size n of the probe.
        seconds: Time in the process that trains.
        memory: Bytes in addition to the model's own forward: the matrices of all layers and the persistence of one.
        is_lower_bound: Whether an analysis takes longer than ``seconds``, since it was not tried to its end.
    """

    layers: int
    points: int
    seconds: float
    memory: int
    is_lower_bound: bool = False

    @property
    def duration(self) -> str:
        """The seconds in words: ``"about 0.3 s"``, ``"more than 2 s"``."""
        return f"{'more than' if self.is_lower_bound else 'about'} {self.seconds:.2g} s"

    def __str__(self) -> str:
        """Describe the cost in one line."""
        return (
            f"{self.layers} layers, {self.points} samples: an analysis takes {self.duration} "
            f"and {self.memory / 1e6:.2g} MB in addition to the forward"
        )


class Pilot:
    """Runs analyses of growing parts of the probe, up to the probe itself, and stops those that take too long.

    What an analysis costs cannot be extrapolated: persistence takes n^2 for some clouds, and suddenly more than n^5 for
    those on a sphere. So every size is run as an analysis will be run, and a probe is affordable only if its own
    analysis was done in time. Of a probe that is cut into subsets, one subset is run. Every process of the trainer has
    to make the same calls; the seconds are those of the first one.

    Args:
        trainer: The trainer.
        measure: Returns the distance matrices of the first n samples of the probe.
        settings: The settings of an analysis.
        engine: The choice of the engine.
        workers: Workers of its own, which lose what exceeds a limit.
        ranks: Number of processes that share the layers.
        fixed_work: The part of an analysis that takes as long for a small probe as for a large one.
    """

    def __init__(
        self,
        trainer: Trainer,
        measure: Callable[[int], Measurement],
        settings: Settings,
        engine: EngineChoice,
        workers: Workers,
        *,
        ranks: int = 1,
        fixed_work: Callable[[], object] = lambda: None,
    ) -> None:
        self._trainer, self._measure, self._settings = trainer, measure, settings
        self._engine, self._workers, self._ranks = engine, workers, ranks
        _, self._fixed = self._timed(fixed_work)
        self._layers = 0
        self._forward = (1, 0.0)
        self._persistence: dict[tuple[int, bool], float] = {}
        self._exceeded = False

    def costs(self, points: int, limit: Callable[[], float]) -> Iterator[Cost]:
        """Yield the costs of growing parts of the probe, the smallest of at least 64 samples first, itself last.

        Args:
            points: Size of the probe.
            limit: Returns the seconds after which an analysis of a larger part than the first is stopped, and no larger
                one is run.
        """
        smallest, *larger = _growing(points)
        self._run(smallest, math.inf, cut=False)  # the first run loads the engine
        self._persistence.clear()
        yield self._cost(smallest, math.inf)
        for size in larger:
            yield self._cost(size, limit())

    def forward(self, points: int) -> float:
        """Predict the seconds of a forward with its distances, which grow like the probe."""
        size, seconds = self._forward
        return seconds * points / size

    def _cost(self, points: int, limit: float) -> Cost:
        whole, subsets = whole_size(points, self._settings), len(disjoint_subsets(points, self._settings))
        parts, cut = max(subsets, 1) / self._ranks, subsets > 0
        left = (limit - self._fixed - self.forward(points)) / parts
        if not self._exceeded and (whole, cut) not in self._persistence:
            self._run(whole, left, cut=cut)
        seconds = self._persistence.get((whole, cut), math.inf)
        self._exceeded = math.isinf(seconds)
        if self._exceeded:
            seconds = max(self._extrapolated(whole), left)
        return Cost(
            self._layers,
            points,
            self._fixed + self.forward(points) + parts * seconds,
            points**2 * (4 * self._layers + _ENGINE_BYTES),
            is_lower_bound=self._exceeded,
        )

    def _extrapolated(self, whole: int) -> float:
        size, seconds = max((size, seconds) for (size, _), seconds in self._persistence.items() if seconds < math.inf)
        growth: float = (whole / size) ** _EXPONENT
        return seconds * growth

    def _run(self, points: int, limit: float, *, cut: bool) -> None:
        """Run an analysis of the first samples; a subset of a probe that is cut has no halves."""
        self._persistence[points, cut] = math.inf
        if limit <= 0:
            return
        settings = replace(self._settings, halvings=0 if cut else self._settings.halvings, subset_size=None)
        measurement, seconds = self._timed(lambda: self._measure(points))
        self._forward, self._layers = (points, seconds), len(measurement.distances)
        in_time, seconds = self._timed(lambda: self._run_topology(measurement, settings, limit))
        if self._trainer.strategy.broadcast(in_time):
            self._persistence[points, cut] = seconds

    def _run_topology(self, measurement: Measurement, settings: Settings, limit: float) -> bool:
        """Compute the report of a measurement; False if that takes longer than the limit."""
        end = None if math.isinf(limit) else time.perf_counter() + limit
        try:
            topology = topology_in_trainer(
                measurement, settings, self._engine, self._workers, seconds=None if end is None else limit
            )
            report = self._workers.submit(report_of_topology, topology, settings, replace(measurement, distances={}))
            report.result(None if end is None else max(end - time.perf_counter(), 0.0))
        except LimitExceeded:
            self._workers.stop()
            return False
        return True

    def _timed(self, job: Callable[[], Result]) -> tuple[Result, float]:
        """This process's result, and the seconds of the first one."""
        start = time.perf_counter()
        result = agreed(self._trainer, job)
        return result, self._trainer.strategy.broadcast(time.perf_counter() - start)


def _growing(points: int) -> list[int]:
    """The probe and its halves, quarters and so on of at least 64 samples, the smallest first."""
    sizes = [points]
    while sizes[0] // 2 >= _SMALLEST_PROBE:
        sizes.insert(0, sizes[0] // 2)
    return sizes
