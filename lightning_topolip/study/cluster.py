"""The jobs of a study on the workers of Dask's `distributed`."""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from uuid import uuid4

from distributed import Client, Future, get_worker
from distributed.scheduler import KilledWorker

from lightning_topolip.study.attempt import RETRY_AFTER, Attempt, OnProgress, attempt
from lightning_topolip.study.job import Job
from lightning_topolip.study.runs import Run


def run_on_cluster(
    client: Client, jobs: Sequence[Job], devices: Sequence[str], on_progress: OnProgress
) -> list[str | None]:
    """Run independent jobs; a worker that dies costs its job's progress since the last snapshot.

    Args:
        client: The client of the cluster.
        jobs: The jobs. Their folders lie on a file system that all workers see.
        devices: Devices of the local workers, in turn; on another cluster the first one is every worker's.
        on_progress: Called in this process.

    Returns:
        One entry per job: None, or why it failed.

    Raises:
        ConnectionError: If the scheduler is lost.
    """
    progress = _Progress(client, [job.run for job in jobs], on_progress)
    failures: list[str | None] = [None] * len(jobs)
    running: dict[int, Future[Attempt]] = {}
    due = dict.fromkeys(range(len(jobs)), 0.0)
    try:
        while due or running:
            for index in [index for index, start in due.items() if start <= monotonic()]:
                del due[index]
                running[index] = _submit(client, jobs[index], index, devices, progress.topic)
            progress.forward()
            for index in [index for index, future in running.items() if future.done()]:
                outcome = _outcome(running.pop(index))
                failures[index] = outcome.failure
                if outcome.in_use:
                    due[index] = monotonic() + RETRY_AFTER
                else:
                    progress.end(index, "failed" if outcome.failure else "measuring")
    finally:
        client.cancel(list(running.values()))
    return failures


def resources(devices: Sequence[str]) -> dict[str, int]:
    """Return what a worker offers and a job asks for: a GPU, unless it runs on the processor."""
    return {} if devices[0].startswith("cpu") else {"GPU": 1}


def _submit(client: Client, job: Job, index: int, devices: Sequence[str], topic: str) -> Future[Attempt]:
    name = f"{job.run.name} {uuid4().hex}"
    return client.submit(
        _run, job, index, devices, topic, key=name, pure=False, retries=2, resources=resources(devices)
    )


def _run(job: Job, index: int, devices: Sequence[str], topic: str) -> Attempt:
    """Attempt a job in a worker, on the worker's device."""
    worker = get_worker()
    device = devices[worker.name % len(devices) if isinstance(worker.name, int) else 0]
    return attempt(job, device, lambda run, *stage: worker.log_event(topic, (index, *stage)))


def _outcome(future: Future[Attempt]) -> Attempt:
    try:
        outcome: Attempt = future.result()
    except KilledWorker:
        return Attempt("its worker process was killed time and again, which often means that memory ran out")
    except Exception as error:
        if future.cancelled():
            raise ConnectionError(
                "the scheduler is lost; finished runs and snapshots are kept, and the same command continues"
            ) from error
        return Attempt(f"{type(error).__name__}: {error}")  # the job cannot be read by the worker
    return outcome


class _Progress:
    """The events of the workers, passed on in this thread."""

    def __init__(self, client: Client, runs: Sequence[Run], on_progress: OnProgress) -> None:
        self.topic = f"lightning_topolip {uuid4().hex}"
        self._runs, self._on_progress = runs, on_progress
        self._events: SimpleQueue[tuple[int, str, int, int]] = SimpleQueue()
        self._ended: set[int] = set()
        client.subscribe_topic(self.topic, lambda event: self._events.put(event[1]))

    def forward(self) -> None:
        """Wait shortly for an event, and pass on all that there are."""
        try:
            self._pass_on(*self._events.get(timeout=0.2))
            while True:
                self._pass_on(*self._events.get_nowait())
        except Empty:
            return

    def end(self, index: int, stage: str) -> None:
        """Say that a job has ended, unless its worker has said so."""
        self._pass_on(index, stage, 1, 1)

    def _pass_on(self, index: int, stage: str, done: int, total: int) -> None:
        if index not in self._ended:
            self._on_progress(self._runs[index], stage, done, total)
        if done == total and stage != "training":
            self._ended.add(index)
