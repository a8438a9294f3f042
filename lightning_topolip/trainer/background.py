"""Analyses in a process of their own, while training goes on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from lightning_topolip.topology.report import Distances, SmoothnessReport, smoothness_report
from lightning_topolip.topology.settings import Settings
from lightning_topolip.trainer.workers import Workers

Key = TypeVar("Key")


@dataclass(frozen=True)
class Finished(Generic[Key]):
    """An analysis that came back.

    Attributes:
        key: What it was submitted with.
        report: What was found, or why nothing was.
        seconds: What the worker spent on it.
    """

    key: Key
    report: SmoothnessReport | Exception
    seconds: float


@dataclass(frozen=True)
class _Waiting(Generic[Key]):
    key: Key
    size: int
    future: Future[tuple[SmoothnessReport, float]]


class Background(Generic[Key]):
    """A worker process with a bounded queue. Results come back in the order in which they were asked for.

    It is a process, not a thread, since the persistence engines hold the interpreter's lock; it runs at the lowest
    priority and on one thread. A worker that dies takes the analyses that were waiting with it, as failures; the next
    one gets a new worker. The queue holds at most ``capacity`` x layers x n x n x 4 bytes.

    Args:
        capacity: Most analyses that may be under way, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[_Waiting[Key]] = deque()
        self._workers = Workers(1, niceness=19)

    @property
    def full(self) -> bool:
        """Whether the next analysis has to wait for room."""
        return len(self._waiting) >= self._capacity

    @property
    def under_way(self) -> int:
        """Number of analyses that have not been handed back."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the distance matrices that wait for their results."""
        return sum(waiting.size for waiting in self._waiting)

    def start(self) -> None:
        """Start the worker now, so that its imports are done before the first analysis."""
        self._workers.start()

    def submit(
        self, key: Key, distances: Distances, settings: Settings, failures: Mapping[str, str], points: int
    ) -> None:
        """Hand an analysis over, as `smoothness_report` takes it.

        Args:
            key: Comes back with the result.
            distances: Distance matrices by layer.
            settings: What to compute.
            failures: Reasons already known, by layer.
            points: Size of the probe.
        """
        future = self._workers.submit(_timed_report, dict(distances), settings, dict(failures), points)
        size = sum(matrix.nbytes for matrix in distances.values() if matrix is not None)
        self._waiting.append(_Waiting(key, size, future))

    def finished(self, wait_for: int = 0) -> list[Finished[Key]]:
        """Take what is ready, oldest first.

        Args:
            wait_for: Wait for that many of the oldest ones; the others are taken only if they are ready.

        Returns:
            Results and failures.
        """
        found: list[Finished[Key]] = []
        while self._waiting and (len(found) < wait_for or self._waiting[0].future.done()):
            oldest = self._waiting[0]
            try:
                report, seconds = oldest.future.result()
                found.append(Finished(oldest.key, report, seconds))
            except Exception as error:
                found.append(Finished(oldest.key, error, float("nan")))
            self._waiting.popleft()
        return found

    def stop(self) -> None:
        """End the worker at once; what is under way is lost."""
        self._waiting.clear()
        self._workers.stop()


def _timed_report(
    distances: Distances, settings: Settings, failures: Mapping[str, str], points: int
) -> tuple[SmoothnessReport, float]:
    start = time.perf_counter()
    return smoothness_report(distances, settings, failures, points), time.perf_counter() - start
