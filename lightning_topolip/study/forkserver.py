"""The process that worker processes of this machine are forks of: it imports, once, what all of them need."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""How worker processes are started; where nothing can be forked, each of them imports for itself."""


def begin_imports() -> None:
    """Start the process, unless it runs; it imports while the caller goes on."""
    if METHOD == "forkserver":
        from multiprocessing.forkserver import ensure_running

        multiprocessing.set_forkserver_preload(["lightning_topolip.study.job", "distributed.nanny"])
        with interrupts_ignored():
            ensure_running()


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it interrupts the command, which then stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
