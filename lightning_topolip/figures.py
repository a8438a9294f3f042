"""The figures of a run, drawn and sent to the loggers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lightning.pytorch.loggers import Logger

from lightning_topolip.history import History
from lightning_topolip.loggers import log_figure, shows_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def log_figures(
    loggers: Sequence[Logger],
    history: History,
    step: int,
    prefix: str,
    layers: Sequence[str] | None,
    tell: Callable[[str], None],
) -> None:
    """Draw what the run has shown so far, where a logger can show it.

    Args:
        loggers: The trainer's loggers.
        history: At least one analysis.
        step: The trainer's step.
        prefix: What the figures' names begin with.
        layers: Layers whose diagrams are drawn; first, middle and last by default.
        tell: Called with a sentence for a figure that could not be drawn; the others are drawn all the same.
    """
    if not any(map(shows_figures, loggers)) or history.last is None:
        return
    from lightning_topolip import plots

    last = history.last
    draw: dict[str, Callable[[], Figure]] = {
        "smoothness": lambda: plots.smoothness_figure(history),
        "diagrams": lambda: plots.diagrams_figure(last, layers),
    }
    if len(history.epochs) > 1:
        draw["epoch_map"] = lambda: plots.epoch_map_figure(history)
    for name, figure in draw.items():
        try:
            log_figure(loggers, f"{prefix}/{name}", figure(), step)
        except Exception as error:
            tell(f"TopoLip could not draw the figure {name!r}: {error!r}. Training goes on.")
