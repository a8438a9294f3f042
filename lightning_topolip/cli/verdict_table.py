"""The verdicts of a study as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from lightning_topolip.study.judging.verdict_rows import VerdictRow, tally

_STYLES = {"holds": "green", "does not hold": "red", "undecided": "yellow"}


def verdict_table(rows: Sequence[VerdictRow]) -> Table:
    """Write one line per verdict; the data are named where there are several."""
    table = Table(title="Verdicts", caption=tally([row.verdict for row in rows]))
    has_several = len({row.data for row in rows}) > 1
    for column in ("claim", *(["data"] if has_several else []), "verdict", "effect"):
        table.add_column(column)
    for row in rows:
        data = [row.data] if has_several else []
        table.add_row(row.claim, *data, row.verdict, row.effect or row.remark, style=_STYLES.get(row.verdict, "dim"))
    return table
