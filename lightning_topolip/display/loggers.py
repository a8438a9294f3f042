"""Scalars for every logger of a trainer, figures for those that can show them; one adapter per kind of logger."""

from __future__ import annotations

import logging
import math
import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import singledispatch
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lightning_topolip.files import write_bytes
from lightning_topolip.notices import Notices

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger(__name__)
_REFUSED_BY_MLFLOW = re.compile(r"[^a-zA-Z0-9_/. -]")
_notices: dict[int, Notices] = {}  # by the address of a logger; not every logger is hashable


def log_scalars(loggers: Sequence[Logger], values: Mapping[str, float], step: int) -> None:
    """Write numbers to every logger and have it save them; NaN too, unless the logger draws it as a number."""
    for logger in loggers:
        with guarded(logger):
            _log_numbers(logger, finite(values) if _draws_nan(logger) else values, step)
            logger.save()


@rank_zero_only
def log_picture(loggers: Sequence[Logger], tag: str, png: bytes, step: int) -> None:
    """Read a PNG file once and show it in every logger that can, from the first process."""
    import PIL.Image

    picture = PIL.Image.open(BytesIO(png)).convert("RGB")
    for logger in loggers:
        with guarded(logger):
            show_picture(logger, tag, picture, step)


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The values that are neither NaN nor infinite."""
    return {key: value for key, value in values.items() if math.isfinite(value)}


def shows_figures(logger: Logger) -> bool:
    """Whether `show_picture` has an adapter for a logger."""
    return show_picture.dispatch(type(logger)) is not show_picture.dispatch(object) or _adapter(logger) is not None


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
    adapter = _adapter(logger)
    if adapter:
        adapter(logger, tag, picture, step)


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


def _show_in_litlogger(logger: Any, tag: str, picture: Image, step: int) -> None:
    from litlogger import Image as LitImage

    logger.experiment[tag].append(LitImage(picture), step=step)


def _show_in_trackio(logger: Any, tag: str, picture: Image, step: int) -> None:
    import trackio

    logger.experiment.log({tag: trackio.Image(picture)}, step=step)


# By the name of the class: not every Lightning has a LitLogger, and none has a TrackioLogger yet.
_ADAPTERS = {"LitLogger": _show_in_litlogger, "TrackioLogger": _show_in_trackio}


def _adapter(logger: Logger) -> Callable[[Any, str, Image, int], None] | None:
    return next((_ADAPTERS[kind.__name__] for kind in type(logger).__mro__ if kind.__name__ in _ADAPTERS), None)


def _draws_nan(logger: Logger) -> bool:
    """TensorBoard draws NaN as a triangle at 0, which looks perfectly smooth; LitLogger warns of every one."""
    return isinstance(logger, TensorBoardLogger) or _adapter(logger) is _show_in_litlogger


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


@contextmanager
def guarded(logger: Logger) -> Iterator[None]:
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
