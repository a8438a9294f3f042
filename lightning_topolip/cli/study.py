"""The command `topolip study`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from lightning_topolip.study.forkserver import begin_imports


def run(name: str, arguments: Sequence[str]) -> None:
    """Run the command; what its worker processes need is imported beside what this one needs."""
    if _asks_for_workers(arguments):
        begin_imports()
    from lightning_topolip.cli.options import call
    from lightning_topolip.cli.study_command import study_command

    call(study_command, f"topolip {name}", arguments)


def _asks_for_workers(arguments: Sequence[str]) -> bool:
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--workers", nargs="?", default="0")
    workers: str | None = parser.parse_known_args(arguments)[0].workers
    return workers != "0"
