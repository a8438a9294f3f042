"""Where the jobs of a study run: in this process, in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.study.attempt import OnProgress, run_in_turn
from lightning_topolip.study.job import Job

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Engine:
    """Where jobs run.

    Attributes:
        workers: Number of worker processes on this machine; 0 uses this process.
        devices: Devices, assigned to the worker processes in turn.
        cluster: A Dask cluster instead, see `run_study`.
        dashboard: Whether the worker processes of this machine have Dask's dashboard.
    """

    workers: int = 0
    devices: Sequence[str] = ("cpu",)
    cluster: Any = None
    dashboard: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        require_whole_number("workers", self.workers, 0)
        if not self.devices:
            raise ValueError(f"Argument `devices` must contain one device or more, got {self.devices!r}; cpu is one.")
        if self.workers and self.cluster is not None:
            raise ValueError(
                f"Argument `workers` must be 0 with a cluster, which has its own, got {self.workers}; leave it out."
            )
        if not self._is_here and find_spec("distributed") is None:
            raise ModuleNotFoundError(
                "Worker processes need the package distributed: pip install 'lightning_topolip[cluster]'; "
                "0 workers run the study without it."
            )

    def run(self, jobs: Sequence[Job], on_progress: OnProgress) -> list[str | None]:
        """Run independent jobs.

        Args:
            jobs: The jobs of one study.
            on_progress: Called in this process.

        Returns:
            One entry per job: None, or why it failed.
        """
        if self._is_here:
            return run_in_turn(jobs, self.devices[0], on_progress)
        from lightning_topolip.study.cluster import run_on_cluster
        from lightning_topolip.study.cluster_checks import require_gpus, require_shared_folder

        with self._client() as client:
            require_shared_folder(client, jobs[0].run.output)
            require_gpus(client, self.devices)
            return run_on_cluster(client, jobs, self.devices, on_progress)

    @property
    def _is_here(self) -> bool:
        return not self.workers and self.cluster is None

    def _client(self) -> AbstractContextManager[Client]:
        from lightning_topolip.study.clients import cluster_client, local_client

        if self.cluster is None:
            return local_client(self.workers, self.devices, self.dashboard)
        return cluster_client(self.cluster)
