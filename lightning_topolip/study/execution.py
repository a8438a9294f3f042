"""A whole study: its runs executed, their results in one table, and a description of both in ``about.json``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_topolip.files import day_of, write_compact_json, write_json
from lightning_topolip.study.attempt import OnProgress, OnStart
from lightning_topolip.study.config import StudyConfig
from lightning_topolip.study.engine import Engine
from lightning_topolip.study.job import Job
from lightning_topolip.study.judging.results import TABLE, Results
from lightning_topolip.study.lock import FolderInUse, FolderLock
from lightning_topolip.study.runs import Run, make_data, runs_of
from lightning_topolip.study.versions import versions


def run_study(
    config: StudyConfig,
    output: Path,
    *,
    workers: int = 0,
    devices: Sequence[str] = ("cpu",),
    cluster: Any = None,
    join: bool = False,
    dashboard: bool = False,
    command: str = "",
    on_start: OnStart = lambda: None,
    on_progress: OnProgress = lambda run, stage, done, total: None,
) -> Results:
    """Run a study, or the unfinished part of it.

    Every run is trained and measured in its own folder. An interrupted study continues where it stopped, and a study
    with other measurements keeps the trained weights. A run that fails is not in the results; ``about.json`` contains
    its error.

    Args:
        config: The configuration of the study.
        output: Folder of ``results.csv``, ``about.json``, ``diagrams.json`` and, under ``runs``, the files of the runs.
        workers: Number of worker processes on this machine, each with one run at a time; 0 uses this process.
        devices: Devices, assigned to the worker processes in turn, such as ``["cuda:0", "cuda:1"]``.
        cluster: A Dask cluster for the runs instead of processes on this machine: the address of its scheduler, the
            path of its scheduler file (``*.json``), or one of Dask's cluster objects, such as ``SLURMCluster``. Its
            workers see the folder ``output``; with a device other than cpu each offers the resource ``GPU``.
        join: Whether other processes work on the same study: each takes the runs that no other has taken.
        dashboard: Whether the worker processes of this machine have Dask's dashboard.
        command: The command line, recorded in ``about.json``.
        on_start: Called once in this process when arguments and data have been checked, before the first run.
        on_progress: Called in this process with a run, its stage (``"training"``, ``"measuring"`` or ``"failed"``),
            the number of parts done and the total.

    Returns:
        The results of the runs that did not fail, as in ``results.csv``.

    Raises:
        ValueError: If an argument is not allowed, data of an unfinished run cannot be read, or another command works on
            the study and ``join`` is not set.
        ConnectionError: If the scheduler is lost.
    """
    engine = Engine(workers, tuple(devices), cluster, dashboard)
    output = output.absolute()  # a worker may have another working directory
    with nullcontext() if join else _alone(output):
        jobs = [Job(run, config) for run in runs_of(config, output)]
        if cluster is None:  # its workers may see folders that this machine does not
            _require_data(jobs)
        on_start()
        failures = engine.run(jobs, on_progress)
        finished = [job for job, failure in zip(jobs, failures, strict=True) if failure is None]
        results = Results(row for job in finished for row in Results.read(job.results_file))
        results.write(output / TABLE)
        write_compact_json(output / "diagrams.json", _diagrams(finished))
        write_json(output / "about.json", _about(config, jobs, failures, command, results))
    return results


def _require_data(jobs: Sequence[Job]) -> None:
    """Make the data of the unfinished runs once, so that missing files are named before the first run."""
    unfinished = {job.run.data: job.config.data[job.run.data] for job in jobs if not job.measuring_record}
    for label, spec in unfinished.items():
        try:
            make_data(spec, seed=0)
        except (ValueError, OSError, ImportError) as error:
            raise ValueError(f"{label}: {error}") from error


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Keep other commands off the study."""
    lock = FolderLock(output)
    try:
        lock.acquire()
    except FolderInUse as error:
        raise ValueError(
            f"Argument `output` must be a study that no other command works on, got {str(output)!r}, "
            f"{error}; wait for its end, or share its runs with `--join true`."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _diagrams(jobs: Sequence[Job]) -> dict[str, Any]:
    """Collect the diagrams of the first seed of every model."""
    diagrams: dict[str, Any] = {}
    for job in jobs:
        content = json.loads(job.diagrams_file.read_text(encoding="utf-8"))
        diagrams.setdefault(f"{job.run.data}/{job.run.model}", {"seed": job.run.seed, **content})
    return diagrams


def _about(
    config: StudyConfig, jobs: Sequence[Job], failures: Sequence[str | None], command: str, results: Results
) -> dict[str, Any]:
    return {
        "title": config.title,
        "question": config.question,
        "date": max((day_of(job.results_file) for job in jobs if job.results_file.is_file()), default=""),
        "command": command,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": versions(),
        "runs": [
            _about_run(job, failure, results.where(**_labels(job.run)))
            for job, failure in zip(jobs, failures, strict=True)
        ],
        "claims": [asdict(claim) for claim in config.claims],
        "config": asdict(config),
    }


def _about_run(job: Job, failure: str | None, results: Results) -> dict[str, Any]:
    parameters = results.where(quantity="parameters").values()
    training, measuring = job.training_record, job.measuring_record
    return {
        **_labels(job.run),
        "epochs": max(results.unique("epoch"), default=None),
        "parameters": int(parameters[-1]) if len(parameters) else None,
        "seconds training": training.get("seconds"),
        "seconds measuring": measuring.get("seconds"),
        "device": measuring.get("device"),
        "engine": measuring.get("engine"),
        "warnings": [
            *measuring.get("warnings", []),
            *_version_changes("trained", training),
            *_version_changes("measured", measuring),
        ],
        "failure": failure,
    }


def _version_changes(stage: str, record: Mapping[str, Any]) -> list[str]:
    """Describe how the versions of an earlier stage differ from today's."""
    current = versions()
    changed = [f"{name} {old}" for name, old in record.get("versions", {}).items() if old != current.get(name)]
    return [f"{stage} before, with {', '.join(changed)}"] if changed else []


def _labels(run: Run) -> dict[str, Any]:
    return {"data": run.data, "model": run.model, "seed": run.seed}
