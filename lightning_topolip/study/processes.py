"""The jobs of a study, run one after another or in worker processes with one device each."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from lightning_topolip.sentence import own_sentence
from lightning_topolip.study.job import Job
from lightning_topolip.study.runs import Run

OnProgress = Callable[[Run, str, int, int], None]
"""Called with a run, its stage (``"training"``, ``"measuring"``, ``"failed"``), and the parts done and in total."""


def run_jobs(jobs: Sequence[Job], workers: int, devices: Sequence[str], on_progress: OnProgress) -> list[str | None]:
    """Run independent jobs; a worker process that is killed loses its current job only.

    Args:
        jobs: The jobs.
        workers: Number of worker processes; 0 runs all jobs in this process.
        devices: Devices, assigned to the workers in turn.
        on_progress: Called in this process.

    Returns:
        One entry per job: None, the sentence of a refused argument, or another error with its place in the code.
    """
    if workers == 0:
        return [_run_job(job, devices[0], on_progress) for job in jobs]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        messages = manager.Queue()
        idle: SimpleQueue[_Worker] = SimpleQueue()
        for index in range(workers):
            idle.put(_Worker(context, devices[index % len(devices)], messages))
        threads = ThreadPoolExecutor(workers)
        try:
            futures = [threads.submit(_run_on_idle_worker, idle, job) for job in jobs]
            while not all(future.done() for future in futures):
                _forward(messages, on_progress, futures)
            _forward(messages, on_progress, futures)
        finally:
            threads.shutdown(cancel_futures=True)
            while not idle.empty():
                idle.get().process.shutdown()
    return [future.result() for future in futures]


class _Worker:
    """A worker process and its device; the process is replaced after it was killed."""

    def __init__(self, context: Any, device: str, messages: Any) -> None:
        self._context, self._device, self._messages = context, device, messages
        self.process = self._start_process()

    def run(self, job: Job) -> str | None:
        try:
            return self.process.submit(_run_job, job, self._device, partial(_send, self._messages)).result()
        except BrokenProcessPool:
            self.process = self._start_process()
            self._messages.put((job.run, "failed", 1, 1))
            return "the worker process was killed, which often means that memory ran out"
        except Exception as error:  # the job or its error cannot be pickled
            return f"{type(error).__name__}: {error}"

    def _start_process(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context)


def _run_on_idle_worker(idle: SimpleQueue[_Worker], job: Job) -> str | None:
    worker = idle.get()
    try:
        return worker.run(job)
    finally:
        idle.put(worker)


def _run_job(job: Job, device: str, on_progress: OnProgress) -> str | None:
    try:
        job.execute(device, partial(on_progress, job.run))
    except Exception as error:
        on_progress(job.run, "failed", 1, 1)
        if sentence := own_sentence(error):
            return sentence
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    return None


def _send(messages: Any, *message: Any) -> None:
    messages.put(message)


def _forward(messages: Any, on_progress: OnProgress, futures: Sequence[Future[str | None]]) -> None:
    """Pass on the waiting messages of the workers, after a short wait for the jobs."""
    wait(futures, timeout=0.2)
    try:
        while True:
            on_progress(*messages.get_nowait())
    except Empty:
        return
