"""Worker threads, for engines that release the interpreter's lock."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Threads:
    """A pool of threads: nothing is copied, and nothing has to start up.

    Args:
        count: Number of threads.
        niceness: Added to theirs, where threads have one of their own (Linux); 19 leaves the cores to all others.
    """

    def __init__(self, count: int, niceness: int = 0) -> None:
        self._count = count
        self._niceness = niceness
        self._pool: ThreadPoolExecutor | None = None

    def submit(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Run a function in one of the threads; the future also holds the error of a thread that did not start."""
        try:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._count, "topolip", _lower_priority, (self._niceness,))
            return self._pool.submit(function, *args, **kwargs)
        except Exception as error:
            self.stop()
            failed: Future[Result] = Future()
            failed.set_exception(error)
            return failed

    def stop(self) -> None:
        """Drop the jobs that wait; one under way ends by itself, and nobody waits for it."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _lower_priority(niceness: int) -> None:
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + niceness)
