"""What went wrong on the way, where a run went on."""

from __future__ import annotations

from lightning_topolip.report.blocks import Table
from lightning_topolip.report.source import Source


def warnings_table(source: Source) -> Table | None:
    """List the warnings of all runs.

    Args:
        source: The study.

    Returns:
        A row a warning; None without any.
    """
    rows = [
        [f"{run['data']}, {run['model']}, seed {run['seed']}", warning]
        for run in source.about.get("runs", [])
        for warning in run.get("warnings") or []
    ]
    return Table(f"Warnings: {len(rows)}.", ["run", "warning"], rows, folded=True) if rows else None
