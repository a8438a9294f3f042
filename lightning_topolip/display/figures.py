"""The figures of a run, drawn and sent to the loggers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from lightning_topolip.display.loggers import log_figure, shows_figures
from lightning_topolip.topology.history import History
from lightning_topolip.topology.report import SmoothnessReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@rank_zero_only
def log_figures(
    loggers: Sequence[Logger],
    history: History,
    step: int,
    prefix: str,
    layers: Sequence[str] | None,
    tell: Callable[[str], None],
) -> None:
    """Draw what the run has shown so far, where a logger can show it, in the first process.

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
    names = ["smoothness", "diagrams"] + ["epoch_map"] * (len(history.epochs) > 1)
    for name in names:
        try:
            log_figure(loggers, f"{prefix}/{name}", _draw(name, history, history.last, layers), step)
        except Exception as error:
            tell(f"TopoLip could not draw the figure {name!r}: {error!r}. Training goes on.")


def _draw(name: str, history: History, last: SmoothnessReport, layers: Sequence[str] | None) -> Figure:
    """Draw one figure; also that matplotlib cannot be imported must not end a training."""
    from lightning_topolip.display import plots

    if name == "smoothness":
        return plots.smoothness_figure(history)
    if name == "epoch_map":
        return plots.epoch_map_figure(history)
    return plots.diagrams_figure(last, layers)
