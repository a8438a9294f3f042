"""Weights from files: read without executing code from the file, and renamed to those of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["load_weights", "read_checkpoint", "read_trained", "require_weights", "weights_for"]

# What compilation, data parallelism, averaging, Fabric, sharding and activation checkpointing add to names.
_WRAPPERS = {"_orig_mod", "module", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_COUNTERS = {"n_averaged"}  # of torch.optim.swa_utils.AveragedModel


def read_checkpoint(path: Path, argument: str = "model") -> dict[str, Any]:
    """Read a file of torch.save that holds a dictionary of plain values and tensors.

    Raises:
        ValueError: If it does not exist or holds anything else; the text names the argument and the file.
    """
    if not path.is_file():
        raise ValueError(f"Argument `{argument}` must be an existing checkpoint, got {str(path)!r}; check the path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a file of something else
        raise ValueError(
            f"Argument `{argument}` must be a complete checkpoint of plain values and tensors, got {str(path)!r}; "
            "it is damaged, no checkpoint, or would run code when loaded, and nothing of it was executed: save it "
            "again with Trainer.save_checkpoint."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"Argument `{argument}` must be a checkpoint with a dictionary, got {type(content).__name__} in "
            f"{str(path)!r}; save it with Trainer.save_checkpoint."
        )
    return content


def read_trained(path: Path, argument: str) -> dict[str, Any]:
    """Read a checkpoint of a training, with the keys ``state_dict``, ``epoch`` and ``global_step``.

    Raises:
        ValueError: If the file is no checkpoint or lacks one of them; the text names the argument and the file.
    """
    content = read_checkpoint(path, argument)
    missing = [key for key in ("state_dict", "epoch", "global_step") if key not in content]
    if missing:
        is_bare = bool(content) and all(isinstance(value, Tensor) for value in content.values())
        lack = "bare weights" if is_bare else f"a dictionary without {' and '.join(missing)}"
        raise ValueError(
            f"Argument `{argument}` must name a checkpoint as Lightning writes it, got {lack} in {str(path)!r}; save "
            "it with Trainer.save_checkpoint or ModelCheckpoint, or with torch.save({'state_dict': weights, 'epoch': "
            "the last one from 0, 'global_step': the number of steps}, path)."
        )
    return content


def weights_for(names: Iterable[str], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights to a model's names: without the parts that wrappers add, and without the name of a holder.

    Weights that were saved from a module that holds the model among others, such as a LightningModule, are reduced to
    those of the model.

    Example:
        >>> saved = {"model._orig_mod.fc.bias": torch.zeros(2), "loss.weight": torch.ones(2)}
        >>> weights_for(["fc.bias"], saved)
        {'fc.bias': tensor([0., 0.])}
    """
    names = list(names)
    if set(names) == set(weights):
        return dict(weights)
    own = {_plain(name): name for name in names}
    plain = {_plain(name): weight for name, weight in weights.items() if name not in _COUNTERS}
    first = next(iter(own), "")
    holders = [name.removesuffix(first) for name in plain if name.endswith(f".{first}")] if first not in plain else []
    for holder in holders:
        if all(holder + name in plain for name in own):
            return {own[name]: plain[holder + name] for name in own}
    return {own.get(name, name): weight for name, weight in plain.items()}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], argument: str, source: str) -> None:
    """Load all weights of a model.

    Raises:
        ValueError: If one is missing, unknown or of another shape; the text names the argument and the source, and
            the model is left as it was.
    """
    weights = weights_for(model.state_dict(), weights)
    require_weights(model, weights, argument, source)
    model.load_state_dict(weights)


def require_weights(model: nn.Module, weights: Mapping[str, Any], argument: str, source: str) -> None:
    """Raise a `ValueError` unless weights have the names and the shapes of a model's."""
    expected = model.state_dict()
    missing = sorted(set(expected) - set(weights))
    unknown = sorted(set(weights) - set(expected))
    shapes = {name: (_shape(weights[name]), _shape(expected[name])) for name in expected if name in weights}
    differing = [name for name, (shape, needed) in shapes.items() if shape != needed]
    problems = [_counted(names, lack) for names, lack in ((missing, "missing"), (unknown, "unknown")) if names]
    problems += [f"{name!r} has shape {shapes[name][0]} instead of {shapes[name][1]}" for name in differing[:1]]
    if problems:
        raise ValueError(
            f"Argument `{argument}` must hold the weights of this {type(model).__name__}, got {source!r}, where "
            f"{', and '.join(problems)}; check that architecture and options are those of the training."
        )


def _counted(names: list[str], lack: str) -> str:
    return f"{len(names)} weight{'s are' if len(names) > 1 else ' is'} {lack}, such as {names[0]!r}"


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None  # a module's own state has no shape


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)
