"""Any module by the path of its class, with the weights and the hyper-parameters of its checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import LightningModule
from torch import nn

from lightning_topolip.models.weights import load_weights, read_checkpoint
from lightning_topolip.randomness import kept_random_numbers

__all__ = ["is_class_path", "load_class"]

_MUST = "Argument `model` must be the path of a class of modules, got"


def is_class_path(name: str) -> bool:
    """Whether a name looks like the path of a class, and not like a timm model such as ``resnet18.a1_in1k``."""
    import timm

    return "." in name and all(map(str.isidentifier, name.split("."))) and not timm.is_model(name)


def load_class(path: str, weights: str | None, init_args: Mapping[str, Any]) -> nn.Module:
    """Make a module of a class, and load its weights without executing code from the file.

    Args:
        path: Such as ``my_package.MyModel``.
        weights: A checkpoint of Lightning, whose hyper-parameters are arguments of the class as well, or a state
            dictionary. Without one the weights are those that the class draws, from a fixed seed.
        init_args: Arguments of the class; they come before those of the checkpoint.

    Raises:
        ValueError: If there is no such class, it does not take the arguments, or the weights are of another module.
    """
    kind = _class_at(path)
    content = {} if weights is None else read_checkpoint(Path(weights), "weights")
    arguments = {**_taken(kind, content.get("hyper_parameters") or {}), **init_args}
    try:
        inspect.signature(kind).bind(**arguments)
    except TypeError as error:
        raise ValueError(
            f"Argument `init_args` must hold the arguments of {path}, got {sorted(arguments)} ({error}); a checkpoint "
            "holds them if the module called save_hyperparameters()."
        ) from error
    with kept_random_numbers(seed=0):
        module = kind(**arguments)
    if content:
        if isinstance(module, LightningModule):
            module.on_load_checkpoint(content)
        load_weights(module, content.get("state_dict", content), "weights", str(weights))
    return module


def _class_at(path: str) -> type[nn.Module]:
    module_name, _, name = path.rpartition(".")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{_MUST} {path!r}, and there is no module {error.name!r}; it must be importable from here, such as "
            "MyModel in my_package.py as my_package.MyModel."
        ) from None
    kind = getattr(module, name, None)
    if not _is_network(kind):
        classes = [known for known, value in vars(module).items() if _is_network(value)]
        close = get_close_matches(name, classes, n=5) or classes[:5]
        problem = f"has no {name!r}" if kind is None else f"has another object as {name!r}"
        hint = f"name one of its classes, such as {', '.join(close)}" if close else "name another module"
        raise ValueError(f"{_MUST} {path!r}, and {module_name} {problem}; {hint}.")
    return cast(type[nn.Module], kind)


def _is_network(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _taken(kind: type[nn.Module], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters that are arguments of the class; all of them where it takes any."""
    parameters = inspect.signature(kind).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in arguments.items() if name[:1] != "_" and (takes_any or name in names)}
