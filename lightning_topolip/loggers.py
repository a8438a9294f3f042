"""Scalars to every logger of a trainer, figures to those that can show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CHARTS = {
    "TopoLip": {
        "drift from layer to layer": ["Multiline", ["topolip_depth/.*"]],
        "epoch drift of each layer": ["Multiline", ["topolip_epoch/.*"]],
        "speed and score": ["Multiline", ["topolip/(score|speed_mean|speed_max)"]],
    }
}


def log_scalars(loggers: Sequence[Logger], values: Mapping[str, float], step: int) -> None:
    """Write numbers to every logger.

    Args:
        loggers: The trainer's loggers.
        values: Numbers by key; NaN is written too.
        step: The trainer's step.
    """
    for logger in loggers:
        _guarded(logger, lambda logger=logger: logger.log_metrics(dict(values), step=step))


def log_figure(loggers: Sequence[Logger], tag: str, figure: Figure, step: int) -> None:
    """Show a figure in every logger that can.

    Args:
        loggers: The trainer's loggers.
        tag: Name of the figure.
        figure: What to show.
        step: The trainer's step.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            _guarded(logger, lambda logger=logger: logger.experiment.add_figure(tag, figure, step, close=False))


def log_layout(loggers: Sequence[Logger]) -> None:
    """Put the layers of one quantity into one chart of TensorBoard's custom scalars.

    Args:
        loggers: The trainer's loggers.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            _guarded(logger, lambda logger=logger: logger.experiment.add_custom_scalars(_CHARTS))


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Drop what is not a number, for the first analysis, which has no epoch drift yet."""
    return {key: value for key, value in values.items() if not math.isnan(value)}


def _guarded(logger: Logger, write: Any) -> None:
    """A full disk or a lost server must not end a training."""
    try:
        write()
    except Exception as error:
        rank_zero_warn(f"TopoLip could not write to {type(logger).__name__}: {error!r}. Training goes on.")
