"""The figures of a run, drawn for its loggers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from lightning_topolip.display.loggers import log_figure, shows_figures
from lightning_topolip.topology.history import History
from lightning_topolip.topology.smoothness_report import SmoothnessReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    if not any(map(shows_figures, loggers)) or history.last is None:
        return
    names = ["smoothness", "diagrams"] + ["epoch_map"] * (len(history.epochs) > 1)
    for name in names:
        try:
            log_figure(loggers, f"{prefix}/{name}", _draw(name, history, history.last, layers), step)
        except Exception as error:
            warn(f"TopoLip could not draw the figure {name!r}: {error!r}. Training continues.")


def _draw(name: str, history: History, last: SmoothnessReport, layers: Sequence[str] | None) -> Figure:
    """Draw one figure; matplotlib is imported here, so that a failing import does not end a training."""
    from lightning_topolip.display import plots

    if name == "smoothness":
        return plots.smoothness_figure(history)
    if name == "epoch_map":
        return plots.epoch_map_figure(history)
    return plots.diagrams_figure(last, layers)
