"""The processes that do the runs of a study, one device each, and what they tell."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from queue import Empty
from typing import Any

from lightning_topolip.study.job import Job

Report = Callable[[int, str, int, int], None]
"""Called with the number of a job, its stage and the parts of it done and of all."""

_device = "cpu"
_messages: Any = None


def work(jobs: Sequence[Job], workers: int, devices: Sequence[str], report: Report) -> list[str | None]:
    """Do jobs, several at a time.

    Args:
        jobs: Independent of each other.
        workers: Processes; 0 does one job after the other in this one.
        devices: Handed out to the processes in turn.
        report: Called in this process as the jobs go on.

    Returns:
        For every job None, or why it failed, the place in the code included.
    """
    if workers == 0:
        return [_attempt(job, devices[0], _told(report, number)) for number, job in enumerate(jobs)]
    with _pool(workers, devices) as (pool, messages):
        futures = [pool.submit(_in_process, number, job) for number, job in enumerate(jobs)]
        while not all(future.done() for future in futures):
            _pass_on(messages, report, futures)
        _pass_on(messages, report, futures)
    return [_outcome(future) for future in futures]


def _pass_on(messages: Any, report: Report, futures: Sequence[Future[str | None]]) -> None:
    wait(futures, timeout=0.2)
    try:
        while True:
            report(*messages.get_nowait())
    except Empty:
        return


@contextmanager
def _pool(workers: int, devices: Sequence[str]) -> Iterator[tuple[ProcessPoolExecutor, Any]]:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        messages, places = manager.Queue(), manager.Queue()
        for number in range(workers):
            places.put(devices[number % len(devices)])
        pool = ProcessPoolExecutor(workers, context, _settle, (places, messages))
        try:
            yield pool, messages
        finally:
            pool.shutdown(cancel_futures=True)


def _settle(places: Any, messages: Any) -> None:
    global _device, _messages
    _device, _messages = places.get(), messages


def _in_process(number: int, job: Job) -> str | None:
    return _attempt(job, _device, lambda *done: _messages.put((number, *done)))


def _attempt(job: Job, device: str, tell: Callable[[str, int, int], None]) -> str | None:
    try:
        job.do(device, tell)
    except Exception as error:
        tell("failed", 1, 1)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    return None


def _told(report: Report, number: int) -> Callable[[str, int, int], None]:
    return lambda stage, done, total: report(number, stage, done, total)


def _outcome(future: Future[str | None]) -> str | None:
    error = future.exception()
    return future.result() if error is None else f"{type(error).__name__}: {error or 'the process ended'}"
