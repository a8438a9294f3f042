"""Bars for the runs of a study that are under way, and one for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lightning_topolip.study.processes import Report
from lightning_topolip.study.runs import Run


@contextmanager
def progress_bars(console: Console) -> Iterator[Callable[[Sequence[Run]], Report]]:
    """Show bars while the block runs.

    Args:
        console: Where.

    Yields:
        What `run_study` takes as ``begin``.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def begin(runs: Sequence[Run]) -> Report:
            whole = progress.add_task("all runs", total=len(runs))
            tasks = [progress.add_task(run.name, total=None, visible=False, start=False) for run in runs]

            def report(number: int, stage: str, done: int, total: int) -> None:
                task = tasks[number]
                if not progress.tasks[task].started:
                    progress.start_task(task)
                over = stage in ("measuring", "failed") and done == total
                progress.update(
                    task, description=f"{runs[number].name}: {stage}", completed=done, total=total, visible=not over
                )
                if over:
                    progress.advance(whole)

            return report

        yield begin
