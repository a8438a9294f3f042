"""Analyses by a worker while training continues."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from lightning_topolip.topology.engine_choice import EngineChoice
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import SmoothnessReport, smoothness_report
from lightning_topolip.trainer.workers import Workers

Key = TypeVar("Key")


@dataclass(frozen=True)
class Finished(Generic[Key]):
    """A finished analysis.

    Attributes:
        key: The key it was submitted with.
        outcome: The report, or the error of an analysis that failed.
        seconds: Seconds that the worker took.
    """

    key: Key
    outcome: SmoothnessReport | Exception
    seconds: float


@dataclass(frozen=True)
class _Waiting(Generic[Key]):
    key: Key
    future: Future[tuple[SmoothnessReport, float]]


class Background(Generic[Key]):
    """A bounded queue in front of workers; results come back in the order of submission.

    If a worker process dies, the analyses that were waiting fail and the next one gets a new worker. The queue holds at
    most ``capacity`` x layers x n x n x 4 bytes.

    Args:
        workers: The workers, at a low priority.
        engine: The choice of the engine, which the analyses share.
        capacity: Largest number of analyses under way, at least 1.
    """

    def __init__(self, workers: Workers, engine: EngineChoice, capacity: int) -> None:
        self._workers = workers
        self._engine = engine
        self._capacity = capacity
        self._waiting: deque[_Waiting[Key]] = deque()

    @property
    def full(self) -> bool:
        """Whether the next analysis has to wait for room."""
        return len(self._waiting) >= self._capacity

    @property
    def under_way(self) -> int:
        """Number of analyses that have not been returned yet."""
        return len(self._waiting)

    def submit(self, key: Key, measurement: Measurement, settings: Settings) -> None:
        """Queue an analysis, as `smoothness_report` takes it; ``key`` comes back with the result."""
        self._waiting.append(_Waiting(key, self._workers.submit(_timed_report, measurement, settings, self._engine)))

    def finished(self, wait_for: int = 0) -> list[Finished[Key]]:
        """Return the analyses that are ready, the oldest first, and wait for the ``wait_for`` oldest ones."""
        finished: list[Finished[Key]] = []
        while self._waiting and (len(finished) < wait_for or self._waiting[0].future.done()):
            oldest = self._waiting[0]
            try:
                report, seconds = oldest.future.result()
                finished.append(Finished(oldest.key, report, seconds))
            except Exception as error:
                finished.append(Finished(oldest.key, error, float("nan")))
            self._waiting.popleft()
        return finished

    def stop(self) -> None:
        """Stop the workers; analyses under way are lost."""
        self._waiting.clear()
        self._workers.stop()


def _timed_report(measurement: Measurement, settings: Settings, engine: EngineChoice) -> tuple[SmoothnessReport, float]:
    start = time.perf_counter()
    return smoothness_report(measurement, settings, engine=engine), time.perf_counter() - start
