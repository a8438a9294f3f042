"""What the command `topolip study` does."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from lightning_topolip.cli.ending import Interrupted, end
from lightning_topolip.cli.verdict_table import verdict_table
from lightning_topolip.report import report_environment, write_report
from lightning_topolip.study.execution import run_study
from lightning_topolip.study.judging.verdict_rows import verdict_rows
from lightning_topolip.study.progress import progress_bars
from lightning_topolip.study.recipe import read_config
from lightning_topolip.study.runs import runs_of


def study_command(
    config: Path,
    size: str = "short",
    images: str | None = None,
    output: Path | None = None,
    workers: int = 0,
    devices: list[str] | None = None,
    seeds: list[int] | None = None,
    cluster: str | None = None,
    join: bool = False,
    dashboard: bool = False,
) -> None:
    """Train and measure models, and write a table of results and a report.

    Called again with the same output, it continues where it stopped and keeps finished runs.

    Args:
        config: The recipe, such as examples/vit_vs_resnet.yaml.
        size: One of the recipe's sizes: short takes minutes on two CPU cores, paper needs a GPU.
        images: Folder with train/<class>/* and test/<class>/* for sizes that ask for it.
        output: Folder of the results; runs/<recipe>_<size> by default.
        workers: Worker processes, each with one run at a time; 0 uses this process.
        devices: Devices assigned to the processes in turn, such as [cuda:0, cuda:1]; cpu by default.
        seeds: Seeds that replace those of the recipe.
        cluster: Dask cluster for the runs: the address of its scheduler or its scheduler file, see docs/cluster.md.
        join: Share the runs with other commands that join the same output, such as the tasks of a Slurm array.
        dashboard: Serve Dask's dashboard of the worker processes at http://127.0.0.1:8787.
    """
    report_environment()  # a missing package must not surface after hours of training
    study = read_config(config, size, images, seeds)
    folder = output or Path("runs") / f"{config.stem}_{size}"
    console = Console()
    repeated = _study_call(
        config=config,
        size=size,
        images=images,
        output=output,
        workers=workers,
        devices=devices,
        seeds=seeds,
        cluster=cluster,
        join=join,
    )
    try:
        with progress_bars(console, runs_of(study, folder)) as (on_start, on_progress):
            results = run_study(
                study,
                folder,
                workers=workers,
                devices=devices or ["cpu"],
                cluster=cluster,
                join=join,
                dashboard=dashboard,
                command=repeated,
                on_start=on_start,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; finished runs and snapshots are in {folder}, continue with: {repeated}"
        ) from None
    report = write_report(folder)
    failed = [run for run in json.loads((folder / "about.json").read_text(encoding="utf-8"))["runs"] if run["failure"]]
    if study.claims:
        console.print(verdict_table(verdict_rows(study.claims, results)))
    console.print(
        f"{len(results)} numbers in {folder / 'results.csv'}; open the report in a browser: "
        f"{report.absolute().as_uri()}",
        highlight=False,
        soft_wrap=True,
    )
    if failed:
        names = "; ".join(f"{run['model']} on {run['data']}, seed {run['seed']}: {run['failure']}" for run in failed)
        end(f"topolip study: {len(failed)} run{'s' * (len(failed) > 1)} failed, not in the results: {names}", code=1)


def _study_call(**given: Any) -> str:
    """Return the command line that repeats a study."""
    words = ["topolip", "study"]
    for name, value in given.items():
        words += [f"--{name}", _written(value)] if value or name == "workers" else []
    return shlex.join(words)


def _written(value: Any) -> str:
    """Write a value as the command reads it."""
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return "true" if value is True else str(value)
