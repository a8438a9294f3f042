"""Clients of Dask's `distributed`: of worker processes on this machine, or of a cluster that the user runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster

from lightning_topolip.study.cluster import resources
from lightning_topolip.study.forkserver import METHOD, begin_imports, interrupts_ignored

PATIENCE = 30.0
"""Seconds within which a scheduler must answer."""

_SETTINGS = {
    "distributed.worker.multiprocessing-method": METHOD,
    # With it, each tensor of a forward is taken from the system and given back: training takes half as long again.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    "distributed.worker.daemon": False,  # data loaders may have processes of their own
    "distributed.scheduler.allowed-failures": 2,  # a job whose worker dies is tried twice elsewhere
    "distributed.comm.timeouts.connect": "60s",  # workers that import torch answer late
    "distributed.admin.tick.limit": "1h",  # nor is that worth a warning
}


@contextmanager
def local_client(workers: int, devices: Sequence[str], dashboard: bool = False) -> Iterator[Client]:
    """Start worker processes on this machine, reachable from it only, and stop them at the end.

    Args:
        workers: Number of processes, each with one job at a time.
        devices: Devices, assigned to the processes in turn.
        dashboard: Whether to serve Dask's dashboard, at http://127.0.0.1:8787.
    """
    begin_imports()
    with dask.config.set(_SETTINGS), _quiet():
        with interrupts_ignored():
            cluster = LocalCluster(
                n_workers=workers,
                processes=True,
                threads_per_worker=1,
                memory_limit=0,
                host="127.0.0.1",
                dashboard_address=f"127.0.0.1:{8787 if dashboard else 0}",
                scheduler_kwargs={"dashboard": dashboard},
                resources=resources(devices),
                silence_logs=logging.CRITICAL,
            )
        with cluster, _Client(cluster) as client:
            yield client


@contextmanager
def cluster_client(cluster: Any) -> Iterator[Client]:
    """Connect to a cluster that the user runs; Dask's own configuration holds the certificates of ``tls://``.

    Args:
        cluster: Address of the scheduler, path of its scheduler file (``*.json``), or a cluster object of Dask.
    """
    is_file = str(cluster).endswith(".json")
    try:
        if is_file and not Path(cluster).is_file():  # the client would wait for it without an end
            raise FileNotFoundError("there is no such file; start `dask scheduler --scheduler-file` with it")
        with _quiet():
            client = _Client(**{"scheduler_file" if is_file else "address": cluster}, timeout=PATIENCE)
    except (OSError, TypeError, ValueError) as error:  # TypeError: an encrypted scheduler without certificates
        raise ValueError(
            f"Argument `cluster` must be the address or the scheduler file of a running Dask scheduler, "
            f"got {str(cluster)!r}: {' '.join(str(error).split())}"
        ) from error
    with _quiet(), client:
        yield client


class _Client(Client):  # type: ignore[misc]
    """A client that is closed when it cannot start.

    Dask leaves that to the garbage collector, which may run while the next client starts, and blocks it then.
    """

    def start(self, **settings: Any) -> None:
        try:
            super().start(**settings)
        except BaseException:
            self.close()
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's messages out of the progress bars; what matters in them becomes an error here."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)  # not after an error: a client that has lost its scheduler goes on to speak of it
