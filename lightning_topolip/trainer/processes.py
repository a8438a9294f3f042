"""Worker processes, for engines that hold the interpreter's lock."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

import numpy as np
from loky import ProcessPoolExecutor

from lightning_topolip.topology.engines import Engine
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class Processes:
    """A pool of processes, one thread each, started without running the user's script again. They load no torch.

    A worker that dies breaks the pool: the jobs under way fail, and the next job gets a new pool.

    Args:
        count: Number of processes.
        engine: The engine that they load at their start; None for what needs no engine.
        niceness: Added to their niceness; 19 leaves the cores to all other processes.
    """

    def __init__(self, count: int, engine: Engine | None, niceness: int = 0) -> None:
        self._count = count
        self._engine = engine
        self._niceness = niceness
        self._pool: ProcessPoolExecutor | None = None

    def submit(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Run a function of this package in one of the processes.

        The future also holds the error of a process that could not be started or that died.
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
        """Stop the processes at once; jobs under way are lost."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            pool = ProcessPoolExecutor(
                self._count, initializer=_lower_priority, initargs=(self._niceness,), env=_ONE_THREAD
            )
            for _ in range(self._count if self._engine else 0):
                pool.submit(_import_everything, self._engine)
            self._pool = pool
        return self._pool


def _lower_priority(niceness: int) -> None:
    """Leave interrupts, and with ``niceness`` the cores, to the process that trains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)


def _import_everything(engine: Engine) -> None:
    points = np.arange(8.0)
    matrix = np.abs(points[:, None] - points).astype(np.float32)
    smoothness_report(Measurement({"first": matrix, "second": matrix}), Settings(engine=engine))
