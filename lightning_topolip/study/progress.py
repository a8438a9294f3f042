"""Progress bars for the runs of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lightning_topolip.study.attempt import OnProgress, OnStart
from lightning_topolip.study.runs import Run


@contextmanager
def progress_bars(console: Console, runs: Sequence[Run]) -> Iterator[tuple[OnStart, OnProgress]]:
    """Show one bar for the study and one per active run; yields the ``on_start`` and ``on_progress`` of `run_study`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as shown:
        progress = Progress(*columns, console=console)
        study_bar = progress.add_task("all runs", total=len(runs))
        bars = [progress.add_task(run.name, total=None, visible=False, start=False) for run in runs]
        bar_of_run = {run.name: bar for run, bar in zip(runs, bars, strict=True)}

        def on_progress(run: Run, stage: str, done: int, total: int) -> None:
            bar = bar_of_run[run.name]
            if not progress.tasks[bar].started:
                progress.start_task(bar)
            finished = stage in ("measuring", "failed") and done == total
            progress.update(bar, description=f"{run.name}: {stage}", completed=done, total=total, visible=not finished)
            if finished:
                progress.advance(study_bar)

        yield partial(shown.enter_context, progress), on_progress
