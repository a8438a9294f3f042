"""A whole study: every run done, the results gathered into one table, what was done written beside it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_topolip.files import write_json
from lightning_topolip.study.config import StudyConfig
from lightning_topolip.study.job import Job
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.processes import Report, work
from lightning_topolip.study.runs import Run, runs_of
from lightning_topolip.study.versions import versions


def run_study(
    config: StudyConfig,
    output: Path,
    *,
    workers: int = 0,
    devices: Sequence[str] = ("cpu",),
    command: str = "",
    begin: Callable[[Sequence[Run]], Report] = lambda runs: lambda *done: None,
) -> Results:
    """Do a study, or what is left of it.

    Every run is trained and measured on its own, in a folder of its own, so that a study that was interrupted goes on
    where it stopped, and one with other measurements keeps the trained weights. A run that fails is left out of the
    results and named in ``about.json``.

    Args:
        config: The study.
        output: Folder of the results: ``results.csv``, ``about.json``, ``diagrams.json``, and the runs under ``runs``.
        workers: Processes, each doing one run at a time; 0 for none besides this one.
        devices: Handed out to the processes in turn, such as ``["cuda:0", "cuda:1"]``.
        command: What was called, for the record.
        begin: Called with the runs, gives the function to be called as they go on.

    Returns:
        The results of the runs that did not fail, as in ``results.csv``.

    Raises:
        ValueError: If an argument is not allowed.
    """
    if workers < 0 or not devices:
        raise ValueError(
            f"Arguments `workers` must be >= 0 and `devices` hold one or more, got {workers} and {list(devices)}."
        )
    jobs = [Job(run, config) for run in runs_of(config, output)]
    failures = work(jobs, workers, devices, begin([job.run for job in jobs]))
    done = [job for job, failure in zip(jobs, failures, strict=True) if failure is None]
    results = Results(row for job in done for row in Results.read(job.rows))
    results.write(output / "results.csv")
    write_json(output / "diagrams.json", _diagrams(done))
    write_json(output / "about.json", _about(config, jobs, failures, command, results))
    return results


def _diagrams(jobs: Sequence[Job]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for job in jobs:
        content = json.loads(job.diagrams.read_text(encoding="utf-8"))
        found.setdefault(f"{job.run.data}/{job.run.model}", {"seed": job.run.seed, **content})
    return found


def _about(
    config: StudyConfig, jobs: Sequence[Job], failures: Sequence[str | None], command: str, results: Results
) -> dict[str, Any]:
    settings = config.to_dict()
    return {
        "title": config.title,
        "question": config.question,
        "command": command,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": versions(),
        "runs": [
            _run(job, failure, results.where(**_key(job.run))) for job, failure in zip(jobs, failures, strict=True)
        ],
        "claims": [asdict(claim) for claim in config.claims],
        "config": settings,
    }


def _run(job: Job, failure: str | None, results: Results) -> dict[str, Any]:
    sizes = results.where(quantity="parameters").values()
    trained, measured = job.trained, job.measured
    return {
        **_key(job.run),
        "epochs": max(results.unique("epoch"), default=None),
        "parameters": int(sizes[-1]) if len(sizes) else None,
        "seconds training": trained.get("seconds"),
        "seconds measuring": measured.get("seconds"),
        "device": measured.get("device"),
        "warnings": [
            *measured.get("warnings", []),
            *_other_versions("trained", trained),
            *_other_versions("measured", measured),
        ],
        "failure": failure,
    }


def _other_versions(stage: str, stamp: Mapping[str, Any]) -> list[str]:
    """Say with what a stage was done that was kept from a study under other versions."""
    now = versions()
    others = [f"{name} {found}" for name, found in stamp.get("versions", {}).items() if found != now.get(name)]
    return [f"{stage} before, with {', '.join(others)}"] if others else []


def _key(run: Run) -> dict[str, Any]:
    return {"data": run.data, "model": run.model, "seed": run.seed}
