"""The numbers themselves."""

from __future__ import annotations

from lightning_topolip.report.blocks import Block, Note, Section
from lightning_topolip.report.formats import count
from lightning_topolip.report.source import Source
from lightning_topolip.report.tables.summaries import summaries_tables


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
