"""Scalars for every logger of a trainer, figures for those that can show them; one adapter per kind of logger."""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import singledispatch
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lightning_topolip.files import write_bytes
from lightning_topolip.notices import Notices

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

_log = logging.getLogger(__name__)
_REFUSED_BY_MLFLOW = re.compile(r"[^a-zA-Z0-9_/. -]")
_notices: dict[int, Notices] = {}  # by the address of a logger; not every logger is hashable


def log_scalars(loggers: Sequence[Logger], values: Mapping[str, float], step: int) -> None:
    """Write numbers, NaN included, to every logger and have it save them."""
    for logger in loggers:
        with _guarded(logger):
            _log_numbers(logger, values, step)
            logger.save()


@rank_zero_only
def log_figure(loggers: Sequence[Logger], tag: str, figure: Figure, step: int) -> None:
    """Render a figure once and show it in every logger that can, from the first process."""
    if not any(map(shows_figures, loggers)):
        return
    picture = _render(figure)
    for logger in loggers:
        with _guarded(logger):
            show_picture(logger, tag, picture, step)


def log_layout(loggers: Sequence[Logger], prefix: str) -> None:
    """Put all layers of a quantity into one chart of TensorBoard's custom scalars."""
    start = re.escape(prefix)
    charts = {
        "drift from layer to layer": ["Multiline", [f"{start}_depth/.*"]],
        "epoch drift of each layer": ["Multiline", [f"{start}_epoch/.*"]],
        "speed and score": ["Multiline", [f"{start}/(score|speed_mean|speed_max)"]],
    }
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            with _guarded(logger):
                logger.experiment.add_custom_scalars({prefix: charts})


def shows_figures(logger: Logger) -> bool:
    """Whether `show_picture` has an adapter for a logger."""
    return show_picture.dispatch(type(logger)) is not show_picture.dispatch(object)


@singledispatch
def show_picture(logger: Logger, tag: str, picture: Image, step: int) -> None:
    """Show a picture in one logger; does nothing if its class has no adapter.

    ``show_picture.register(LoggerClass)`` adds an adapter: a function of the same arguments.

    Args:
        logger: A logger of the trainer.
        tag: Name of the picture.
        picture: The picture in RGB; it must not be changed, since the next logger gets the same object.
        step: The trainer's step.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import os, PIL.Image
        >>> with TemporaryDirectory() as folder:
        ...     logger = CSVLogger(folder)
        ...     show_picture(logger, "topolip/smoothness", PIL.Image.new("RGB", (8, 8)), step=12)
        ...     os.listdir(f"{logger.log_dir}/figures/topolip/smoothness")
        ['step=000012.png']
    """


@show_picture.register(TensorBoardLogger)
def _show_in_tensorboard(logger: TensorBoardLogger, tag: str, picture: Image, step: int) -> None:
    logger.experiment.add_image(tag, np.asarray(picture), step, dataformats="HWC")


@show_picture.register(WandbLogger)
def _show_in_wandb(logger: WandbLogger, tag: str, picture: Image, step: int) -> None:
    """Log through Lightning, which adds the trainer's step and leaves that of W&B alone."""
    logger.log_image(tag, [picture], step)


@show_picture.register(MLFlowLogger)
def _show_in_mlflow(logger: MLFlowLogger, tag: str, picture: Image, step: int) -> None:
    if logger.run_id is not None:
        logger.experiment.log_image(logger.run_id, picture, key=_REFUSED_BY_MLFLOW.sub("_", tag), step=step)


@show_picture.register(CSVLogger)
def _save_beside_csv(logger: CSVLogger, tag: str, picture: Image, step: int) -> None:
    content = BytesIO()
    picture.save(content, format="png")
    write_bytes(f"{logger.experiment.log_dir}/figures/{tag}/step={step:06d}.png", content.getvalue())


@singledispatch
def _log_numbers(logger: Logger, values: Mapping[str, float], step: int) -> None:
    logger.log_metrics(dict(values), step=step)


@_log_numbers.register(MLFlowLogger)
def _log_mlflow_numbers(logger: MLFlowLogger, values: Mapping[str, float], step: int) -> None:
    logger.log_metrics(_mlflow_names(values), step=step)


def _mlflow_names(values: Mapping[str, float]) -> dict[str, float]:
    """Replace characters that MLflow refuses by underscores; more underscores keep the names distinct."""
    renamed: dict[str, float] = {}
    for key in sorted(values, key=lambda key: _REFUSED_BY_MLFLOW.search(key) is not None):
        name = _REFUSED_BY_MLFLOW.sub("_", key)
        while name in renamed:
            name += "_"
        renamed[name] = values[key]
    return renamed


def _render(figure: Figure) -> Image:
    import PIL.Image

    content = BytesIO()
    figure.savefig(content, format="png")
    return PIL.Image.open(content).convert("RGB")


@contextmanager
def _guarded(logger: Logger) -> Iterator[None]:
    """Turn an error of a logger into a warning, once per type of error."""
    try:
        yield
    except Exception as error:
        _log.debug("A logger failed.", exc_info=True)
        if id(logger) not in _notices:
            _notices[id(logger)] = Notices()
            weakref.finalize(logger, _notices.pop, id(logger), None)
        _notices[id(logger)].warn(
            f"TopoLip could not write to {type(logger).__name__}: {error!r}. Training continues and later values are "
            "still sent; there is no second warning about this.",
            key=type(error),
        )
