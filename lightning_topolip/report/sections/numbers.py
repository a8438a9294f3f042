"""The numbers of every run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lightning_topolip.report.blocks import Note, Section, Table
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import count, number, percent
from lightning_topolip.study.judging.names import NAMES
from lightning_topolip.study.judging.summaries import SUMMARIES, RunKey

_COLUMNS = 8  # of one table, so that it can be printed


def numbers(source: Source) -> Section:
    """List the summaries of every run, and name the files with all numbers."""
    runs = source.summaries
    measured = [name for name in SUMMARIES if not all(math.isnan(summary[name]) for summary in runs.values())]
    parts = [measured[start : start + _COLUMNS] for start in range(0, len(measured), _COLUMNS)]
    note = Note(
        f"All {count(len(source.results))} numbers are in {source.table} next to this page, one per row; the diagrams "
        "are in diagrams.json, versions and configuration in about.json."
    )
    tables = [_table(runs, names, f"{index} of {len(parts)}") for index, names in enumerate(parts, start=1)]
    return Section("numbers", "All numbers", "", [note, *tables])


def _table(runs: Mapping[RunKey, Mapping[str, float]], names: Sequence[str], part: str) -> Table:
    rows = [
        [key.data, key.model, str(key.seed), *(_value(name, summary[name]) for name in names)]
        for key, summary in runs.items()
    ]
    header = ["data", "model", "seed", *map(_heading, names)]
    return Table(f"Summaries of every run, at its last epoch, {part}.", header, rows)


def _value(name: str, value: float) -> str:
    if name == "parameters":
        return count(value)
    return percent(value) if SUMMARIES[name].unit == "share" else number(value)


def _heading(name: str) -> str:
    unit = SUMMARIES[name].unit
    return NAMES[name] + (f", {unit}" if unit not in {"", "share"} else "")
