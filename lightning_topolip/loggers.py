"""Scalars to every logger of a trainer, figures to those that can show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def log_scalars(loggers: Sequence[Logger], values: Mapping[str, float], step: int) -> None:
    """Write numbers to every logger.

    Args:
        loggers: The trainer's loggers.
        values: Numbers by key; NaN is written too.
        step: The trainer's step.
    """
    for logger in loggers:
        _guarded(logger, lambda logger=logger: logger.log_metrics(dict(values), step=step))


def shows_figures(logger: Logger) -> bool:
    """Tell whether `log_figure` can show a figure there."""
    return isinstance(logger, TensorBoardLogger)


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


def log_layout(loggers: Sequence[Logger], prefix: str) -> None:
    """Put the layers of one quantity into one chart of TensorBoard's custom scalars.

    Args:
        loggers: The trainer's loggers.
        prefix: What the keys begin with.
    """
    charts = {
        "drift from layer to layer": ["Multiline", [f"{prefix}_depth/.*"]],
        "epoch drift of each layer": ["Multiline", [f"{prefix}_epoch/.*"]],
        "speed and score": ["Multiline", [f"{prefix}/(score|speed_mean|speed_max)"]],
    }
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            _guarded(logger, lambda logger=logger: logger.experiment.add_custom_scalars({prefix: charts}))


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Drop what is not a number, for the first analysis, which has no epoch drift yet."""
    return {key: value for key, value in values.items() if not math.isnan(value)}


def _guarded(logger: Logger, write: Any) -> None:
    """A full disk or a lost server must not end a training."""
    try:
        write()
    except Exception as error:
        rank_zero_warn(f"TopoLip could not write to {type(logger).__name__}: {error!r}. Training goes on.")
