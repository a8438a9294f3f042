"""What was run."""

from __future__ import annotations

import json

from lightning_topolip.report.blocks import Block, Listing, Section
from lightning_topolip.report.source import Source
from lightning_topolip.report.tables.runs import runs_table, versions_table
from lightning_topolip.report.tables.warnings import warnings_table


def runs(source: Source) -> Section:
    """Say what was run, with what and how it ended.

    Args:
        source: The study.

    Returns:
        Command, runs, versions and configuration.
    """
    about = source.about
    blocks: list[Block] = []
    if about.get("command"):
        blocks.append(Listing("Command", str(about["command"])))
    blocks.append(runs_table(source))
    blocks += [table for table in (warnings_table(source), versions_table(source)) if table]
    if about.get("config"):
        text = json.dumps(about["config"], indent=2, ensure_ascii=False)
        blocks.append(Listing("Configuration", text, folded=True))
    return Section("runs", "What was run", "", blocks)
