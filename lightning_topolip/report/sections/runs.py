"""The runs of the study: command, outcomes, warnings, versions and configuration."""

from __future__ import annotations

import math
from typing import Any

import yaml

from lightning_topolip.report.blocks import Block, Listing, Section, Table
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import MISSING, count, number, percent
from lightning_topolip.study.judging.summaries import RunKey

_SHOWN_ELSEWHERE = ("title", "question", "claims")
_WIDTH = 100


def runs(source: Source) -> Section:
    """List the runs, how they were made, and how they ended."""
    about = source.about
    blocks: list[Block] = []
    if about.get("command"):
        blocks.append(Listing("Command", str(about["command"])))
    blocks.append(runs_table(source))
    blocks += [table for table in (_warnings_table(source), versions_table(source)) if table]
    if about.get("config"):
        shown = {name: value for name, value in about["config"].items() if name not in _SHOWN_ELSEWHERE}
        text = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=_WIDTH)
        blocks.append(Listing("Configuration", text, folded=True))
    return Section("runs", "Runs", "", blocks)


def runs_table(source: Source) -> Table:
    """List every run that was planned or has results, one per row."""
    planned = {RunKey(run["data"], run["model"], run["seed"]): run for run in source.about.get("runs", [])}
    keys = list(dict.fromkeys([*planned, *source.summaries]))
    return Table(
        "Runs. Accuracy on the clean test images, if evaluated; times in seconds.",
        ["data", "model", "seed", "epochs", "parameters", "accuracy", "training", "measuring", "outcome"],
        [_row(key, planned.get(key, {}), source.summaries.get(key, {})) for key in keys],
    )


def _row(key: RunKey, planned: dict[str, Any], summary: dict[str, float]) -> list[str]:
    failure = planned.get("failure")
    return [
        key.data,
        key.model,
        str(key.seed),
        count(_first(planned.get("epochs"))),
        count(_first(planned.get("parameters"), summary.get("parameters"))),
        percent(summary.get("accuracy", math.nan)),
        number(_first(planned.get("seconds training"))),
        number(_first(planned.get("seconds measuring"))),
        f"failed: {failure}" if failure else "done" if summary else "no results" if planned else MISSING,
    ]


def _first(*values: float | None) -> float:
    """Return the first value that is not None; NaN if there is none."""
    return next((float(value) for value in values if value is not None), math.nan)


def _warnings_table(source: Source) -> Table | None:
    """List the warnings of all runs, one per row."""
    rows = [
        [f"{run['data']}, {run['model']}, seed {run['seed']}", warning]
        for run in source.about.get("runs", [])
        for warning in run.get("warnings") or []
    ]
    return Table(f"Warnings: {len(rows)}.", ["run", "warning"], rows, folded=True) if rows else None


def versions_table(source: Source) -> Table | None:
    """List the versions of the packages, one per row, the engines and the machine."""
    rows = [[package, str(version)] for package, version in source.about.get("versions", {}).items()]
    engines = dict.fromkeys(run["engine"] for run in source.about.get("runs", []) if run.get("engine"))
    rows += [["persistence by", engine] for engine in engines]
    if source.about.get("machine"):
        rows.append(["machine", str(source.about["machine"])])
    return Table("Versions, engine and machine.", ["package", "version"], rows, folded=True) if rows else None
