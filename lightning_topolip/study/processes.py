"""The processes that do the runs of a study, one device each, and what they tell."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from queue import Empty, SimpleQueue
from typing import Any

from lightning_topolip.study.job import Job

Report = Callable[[int, str, int, int], None]
"""Called with the number of a job, its stage and the parts of it done and of all."""


def work(jobs: Sequence[Job], workers: int, devices: Sequence[str], report: Report) -> list[str | None]:
    """Do jobs, several at a time.

    Args:
        jobs: Independent of each other.
        workers: Processes; 0 does one job after the other in this one. A process that is killed takes only its job
            with it.
        devices: Handed out to the processes in turn.
        report: Called in this process as the jobs go on.

    Returns:
        For every job None, or why it failed, the place in the code included.
    """
    if workers == 0:
        return [_attempt(job, devices[0], _told(report, number)) for number, job in enumerate(jobs)]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        messages = manager.Queue()
        seats: SimpleQueue[_Seat] = SimpleQueue()
        for number in range(workers):
            seats.put(_Seat(context, devices[number % len(devices)], messages))
        threads = ThreadPoolExecutor(workers)
        try:
            futures = [threads.submit(_on_a_seat, seats, number, job) for number, job in enumerate(jobs)]
            while not all(future.done() for future in futures):
                _pass_on(messages, report, futures)
            _pass_on(messages, report, futures)
        finally:
            threads.shutdown(cancel_futures=True)
            while not seats.empty():
                seats.get().pool.shutdown()
    return [future.result() for future in futures]


def _pass_on(messages: Any, report: Report, futures: Sequence[Future[str | None]]) -> None:
    wait(futures, timeout=0.2)
    try:
        while True:
            report(*messages.get_nowait())
    except Empty:
        return


class _Seat:
    """A device and the process that works there; a new one where the last was killed."""

    def __init__(self, context: Any, device: str, messages: Any) -> None:
        self._context, self._device, self._messages = context, device, messages
        self.pool = self._process()

    def do(self, number: int, job: Job) -> str | None:
        try:
            return self.pool.submit(_in_process, number, job, self._device, self._messages).result()
        except BrokenProcessPool:
            self.pool = self._process()
            self._messages.put((number, "failed", 1, 1))
            return "the process that did it was killed; a lack of memory does that"
        except Exception as error:  # the job, or what it raised, cannot be sent to another process
            return f"{type(error).__name__}: {error}"

    def _process(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context)


def _on_a_seat(seats: SimpleQueue[_Seat], number: int, job: Job) -> str | None:
    seat = seats.get()
    try:
        return seat.do(number, job)
    finally:
        seats.put(seat)


def _in_process(number: int, job: Job, device: str, messages: Any) -> str | None:
    return _attempt(job, device, lambda *done: messages.put((number, *done)))


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
