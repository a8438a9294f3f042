"""One attempt at a job: it is done, has failed with a sentence, or is being done by another process."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import sleep

from lightning_topolip.sentence import own_sentence
from lightning_topolip.study.job import Job
from lightning_topolip.study.lock import FolderInUse
from lightning_topolip.study.runs import Run

RETRY_AFTER = 1.0
"""Seconds after which a job that another process does is tried again."""

OnStart = Callable[[], object]
"""Called once a study has no argument left to refuse."""

OnProgress = Callable[[Run, str, int, int], None]
"""Called with a run, its stage (``"training"``, ``"measuring"``, ``"failed"``), and the parts done and in total."""


@dataclass(frozen=True)
class Attempt:
    """The outcome of an attempt.

    Attributes:
        failure: None, the sentence of a refused argument, or another error with its place in the code.
        in_use: Whether another process is doing the job.
    """

    failure: str | None = None
    in_use: bool = False


def attempt(job: Job, device: str, on_progress: OnProgress) -> Attempt:
    """Execute a job, unless another process does."""
    try:
        job.execute(device, partial(on_progress, job.run))
    except FolderInUse:
        return Attempt(in_use=True)
    except Exception as error:
        on_progress(job.run, "failed", 1, 1)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Attempt(own_sentence(error) or f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})")
    return Attempt()


def run_in_turn(jobs: Sequence[Job], device: str, on_progress: OnProgress) -> list[str | None]:
    """Run jobs in this process, one after another; those that another process does are waited for at the end.

    Args:
        jobs: The jobs.
        device: Device of all of them.
        on_progress: Called during the jobs.

    Returns:
        One entry per job: None, or why it failed.
    """
    failures: list[str | None] = [None] * len(jobs)
    waiting = deque(range(len(jobs)))
    in_use_since_last = 0
    while waiting:
        index = waiting.popleft()
        outcome = attempt(jobs[index], device, on_progress)
        failures[index] = outcome.failure
        in_use_since_last = in_use_since_last + 1 if outcome.in_use else 0
        if outcome.in_use:
            waiting.append(index)
        if in_use_since_last and in_use_since_last % len(waiting) == 0:
            sleep(RETRY_AFTER)
    return failures
