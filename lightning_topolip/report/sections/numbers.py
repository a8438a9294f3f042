"""The numbers themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lightning_topolip.report.blocks import Block, Note, Section, Table
from lightning_topolip.report.formats import count, number, percent
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.summaries import SUMMARIES, RunKey


def numbers(source: Source) -> Section:
    """Give the summaries of every run, and say where all numbers are.

    Args:
        source: The study.

    Returns:
        A table.
    """
    blocks: list[Block] = [
        Note(
            f"All {count(len(source.results))} numbers are in results.csv beside this page, one a row; the diagrams "
            "are in diagrams.json, versions and configuration in about.json."
        )
    ]
    return Section("numbers", "The numbers", "", [*blocks, *summaries_tables(source)])


_COLUMNS = 8


def summaries_tables(source: Source) -> list[Table]:
    """List every summary of every run, a few columns a table so that each can be printed.

    Args:
        source: The study.

    Returns:
        A row a run, a column a summary that any run has; none without results.
    """
    runs = source.summaries
    present = [name for name in SUMMARIES if not all(math.isnan(summary[name]) for summary in runs.values())]
    parts = [present[start : start + _COLUMNS] for start in range(0, len(present), _COLUMNS)]
    return [_table(runs, names, f"{index} of {len(parts)}") for index, names in enumerate(parts, start=1)]


def _table(runs: Mapping[RunKey, Mapping[str, float]], names: Sequence[str], part: str) -> Table:
    rows = [
        [key.data, key.model, str(key.seed), *(_written(name, summary[name]) for name in names)]
        for key, summary in runs.items()
    ]
    header = ["data", "model", "seed", *map(_named, names)]
    return Table(f"Summaries of every run, at its last epoch, {part}.", header, rows)


def _written(name: str, value: float) -> str:
    if name == "parameters":
        return count(value)
    return percent(value) if SUMMARIES[name].unit == "share" else number(value)


def _named(name: str) -> str:
    unit = SUMMARIES[name].unit
    return name.replace("_", " ") + (f" ({unit})" if unit not in {"", "share"} else "")
