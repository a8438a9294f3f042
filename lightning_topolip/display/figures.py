"""The figures of a run in its loggers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from lightning_topolip.display.loggers import log_picture, shows_figures
from lightning_topolip.display.pictures import Pictures, draw_pictures
from lightning_topolip.topology.history import History


@rank_zero_only
def log_figures(
    loggers: Sequence[Logger],
    history: History,
    step: int,
    prefix: str,
    layers: Sequence[str] | None,
    warn: Callable[[str], None],
) -> None:
    """Draw the figures of a run in the first process, if a logger can show them; `warn` gets a sentence per failure."""
    if any(map(shows_figures, loggers)):
        log_pictures(loggers, draw_pictures(history, layers), step, prefix, warn)


@rank_zero_only
def log_pictures(
    loggers: Sequence[Logger], pictures: Pictures, step: int, prefix: str, warn: Callable[[str], None]
) -> None:
    """Show pictures in every logger that can; `warn` gets a sentence for each that could not be drawn."""
    for name, error in pictures.errors.items():
        warn(f"TopoLip could not draw the figure {name!r}: {error}. Training continues.")
    for name, content in pictures.files.items():
        log_picture(loggers, f"{prefix}/{name}", content, step)
