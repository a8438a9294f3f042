"""Processes beside the one that trains, for what holds the interpreter's lock."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

import numpy as np
from loky import ProcessPoolExecutor

from lightning_topolip.topology.layer import LayerTopology, named_topology
from lightning_topolip.topology.report import Distances, smoothness_report
from lightning_topolip.topology.settings import Settings

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class Workers:
    """A pool of processes, one thread each, started without running the user's script again.

    A worker that dies breaks the pool: what was under way fails, and the next job gets a new pool.

    Args:
        count: Number of processes.
        niceness: What is added to their niceness; 19 leaves the cores to whoever wants them.
    """

    def __init__(self, count: int, niceness: int = 0) -> None:
        self._count = count
        self._niceness = niceness
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """Start the processes now, so that their imports are done before the first job; the job says what fails."""
        with contextlib.suppress(Exception):
            self._running()

    def submit(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Run a function of this package in one of the processes.

        Args:
            function: What to call.
            args: Its arguments, copied to the process.
            kwargs: Its named arguments.

        Returns:
            What it will return, or what failed: also where no process could be started or the process died.
        """
        try:
            job: Future[Result] = self._running().submit(function, *args, **kwargs)
        except BrokenProcessPool:
            self._pool = None
            return self.submit(function, *args, **kwargs)
        except Exception as error:
            job = Future()
            job.set_exception(error)
        return job

    def stop(self) -> None:
        """End the processes at once; what is under way is lost."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            pool = ProcessPoolExecutor(
                self._count, initializer=_stand_back, initargs=(self._niceness,), env=_ONE_THREAD
            )
            for _ in range(self._count):
                pool.submit(_import_everything)
            self._pool = pool
        return self._pool


def topology_by(
    workers: Workers, distances: Distances, settings: Settings, on_layer: Callable[[], object] = lambda: None
) -> dict[str, LayerTopology | None]:
    """Do what `topology_of` does, several layers at once.

    Args:
        workers: The processes.
        distances: Distance matrix by layer, each of shape ``(n, n)``; None for a layer that could not be measured.
        settings: As `layer_topology` takes them.
        on_layer: Called whenever a layer is done, to show progress.

    Returns:
        The topology by layer, None where there is no matrix.

    Raises:
        BrokenProcessPool: If a process died.
    """
    jobs = [
        (name, None if matrix is None else workers.submit(named_topology, name, matrix, settings))
        for name, matrix in distances.items()
    ]
    found: dict[str, LayerTopology | None] = {}
    for name, job in jobs:
        found[name] = job.result() if job else None
        on_layer()
    return found


def _stand_back(niceness: int) -> None:
    """Leave an interrupt, and where it is wanted the cores, to the process that trains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)


def _import_everything() -> None:
    points = np.arange(8.0)
    smoothness_report({name: np.abs(points[:, None] - points).astype(np.float32) for name in "ab"})
