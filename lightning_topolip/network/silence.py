"""A network cut off from its trainer, so that nothing that its forward logs or sets arrives there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import nn

_SILENT_METHODS = ("log", "log_dict", "print")
_METRICS = ("callback_metrics", "logged_metrics", "progress_bar_metrics")


def is_lightning(module: nn.Module) -> bool:
    """Whether a module is a LightningModule, of any of Lightning's packages; none of them is imported for this.

    Example:
        >>> is_lightning(nn.Linear(2, 2))
        False
    """
    kind = type(module)
    return isinstance(getattr(kind, "trainer", None), property) and hasattr(kind, "log_dict")


@contextmanager
def silenced(model: nn.Module) -> Iterator[None]:
    """Within the block, LightningModules in a network neither log nor change their trainer.

    They see a stand-in of it: what they read is the trainer's, but its loggers are mute, its metrics are copies, and an
    attribute that they set is set on the stand-in alone.

    Args:
        model: The network.
    """
    modules = [module for module in model.modules() if is_lightning(module)]
    with ExitStack() as stack:
        for module in modules:
            for name in _SILENT_METHODS:
                stack.enter_context(_replaced(module, name, lambda *args, **kwargs: None))
        trainers = {id(module): _trainer_of(module) for module in modules}
        for module in reversed(modules):
            trainer = trainers[id(module)]
            if trainer is not None:
                stack.callback(_set_trainer, module, trainer)
                _set_trainer(module, _StandIn(trainer))
        yield


class _StandIn:
    """Reads from a trainer and writes to itself."""

    def __init__(self, trainer: Any) -> None:
        own = vars(self)
        own["_trainer"] = trainer
        own["logger"] = None if trainer.logger is None else _MuteLogger(trainer.logger)
        own["loggers"] = [_MuteLogger(logger) for logger in trainer.loggers]
        own["save_checkpoint"] = own["print"] = _Nothing()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        kind: type = type(vars(self)["_trainer"])
        return kind

    def __getattr__(self, name: str) -> Any:
        value = getattr(vars(self)["_trainer"], name)
        return dict(value) if name in _METRICS else value


class _Nothing:
    """Takes every call and every attribute, and does nothing."""

    def __call__(self, *args: Any, **kwargs: Any) -> _Nothing:
        return self

    def __getattr__(self, name: str) -> _Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class _MuteLogger:
    """Tells what a logger is called and where it writes, and writes nothing."""

    def __init__(self, logger: Any) -> None:
        vars(self)["_logger"] = logger

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        kind: type = type(vars(self)["_logger"])
        return kind

    def __getattr__(self, name: str) -> Any:
        if name == "experiment":
            return _Nothing()
        value = getattr(vars(self)["_logger"], name)
        return value if isinstance(value, (str, int, float, Path, type(None))) else _Nothing()


@contextmanager
def _replaced(module: nn.Module, name: str, function: Callable[..., None]) -> Iterator[None]:
    before = vars(module).get(name)
    vars(module)[name] = function
    try:
        yield
    finally:
        if before is None:
            vars(module).pop(name, None)
        else:
            vars(module)[name] = before


def _set_trainer(module: Any, trainer: Any) -> None:
    module.trainer = trainer


def _trainer_of(module: Any) -> Any:
    try:
        return module.trainer
    except RuntimeError:
        return None
