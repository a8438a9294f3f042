"""Workers that compute analyses: threads, processes or this thread, whichever suits the engine."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from lightning_topolip.notices import Notices
from lightning_topolip.topology.engine_choice import EngineChoice
from lightning_topolip.topology.engines import Engine, releases_lock
from lightning_topolip.topology.layer import LayerTopology, named_topology
from lightning_topolip.topology.measurement import Distances
from lightning_topolip.topology.settings import Settings
from lightning_topolip.trainer.processes import Processes
from lightning_topolip.trainer.threads import Threads

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Staff:
    """How many workers there are, by kind; 0 stands for this thread.

    Attributes:
        threads: Number of threads, for engines that release the interpreter's lock.
        processes: Number of processes, for the others.
        niceness: Added to theirs; 19 leaves the cores to everything else.
    """

    threads: int
    processes: int
    niceness: int = 0

    def beside_this_thread(self) -> Staff:
        """These workers, one at least of each kind, so that what they do can be stopped."""
        return replace(self, threads=max(self.threads, 1), processes=max(self.processes, 1))


class Workers:
    """Workers for the engine of a fit, and others as soon as another engine takes over.

    Args:
        engine: The choice of the engine.
        staff: How many workers.
        notices: Warnings that are given once.
    """

    def __init__(self, engine: EngineChoice, staff: Staff, notices: Notices) -> None:
        self._engine = engine
        self._staff = staff
        self._notices = notices
        self._pools: dict[str, Threads | Processes | ThisThread] = {}

    def submit(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Run a function of this package by one of the workers; the future also holds the error of a lost worker."""
        name = self._engine.name
        if name not in self._pools:
            self._pools[name] = self._new_pool(name)
        return self._pools[name].submit(function, *args, **kwargs)

    def stop(self) -> None:
        """Stop all workers; what is under way is lost."""
        for pool in self._pools.values():
            pool.stop()
        self._pools.clear()

    def _new_pool(self, engine: Engine) -> Threads | Processes | ThisThread:
        staff = self._staff
        if releases_lock(engine):
            return Threads(staff.threads, staff.niceness) if staff.threads else ThisThread()
        if not staff.processes:
            return ThisThread()
        if multiprocessing.current_process().daemon:
            self._notices.warn(
                f"TopoLip computes persistence by {engine!r} in this process, since a daemonic process, such as one of "
                "a multiprocessing.Pool, cannot start others; `background` and `workers` have no effect."
            )
            return ThisThread()
        return Processes(staff.processes, engine, staff.niceness)


class ThisThread:
    """Runs jobs at once, in the thread that submits them."""

    def submit(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Run a function, and return its result or its error as a future that is done."""
        job: Future[Result] = Future()
        try:
            job.set_result(function(*args, **kwargs))
        except Exception as error:
            job.set_exception(error)
        return job

    def stop(self) -> None:
        """Nothing is under way."""


def topology_by(
    workers: Workers,
    distances: Distances,
    settings: Settings,
    on_layer: Callable[[], object] = lambda: None,
    seconds: float | None = None,
) -> dict[str, LayerTopology | None]:
    """Compute several layers at once, as `topology_of` does one after the other.

    Args:
        workers: The workers.
        distances: By layer, as in `topology_of`.
        settings: The settings of the analysis, with an engine by its own name.
        on_layer: Called, by any thread, whenever a layer is done.
        seconds: Time limit, or None.

    Raises:
        ValueError: If a matrix is not a distance matrix; the message names the layer.
        TimeoutError: If the limit is exceeded; layers under way end by themselves.
        BrokenProcessPool: If a process died.
    """
    jobs: dict[str, Future[LayerTopology] | None] = {}
    end = None if seconds is None else time.perf_counter() + seconds
    for name, matrix in distances.items():
        jobs[name] = job = None if matrix is None else workers.submit(named_topology, name, matrix, settings)
        if job:
            job.add_done_callback(lambda _: on_layer())
        else:
            on_layer()
    try:
        return {name: job.result(end and end - time.perf_counter()) if job else None for name, job in jobs.items()}
    except BaseException:
        for job in jobs.values():
            if job:
                job.cancel()
        raise
