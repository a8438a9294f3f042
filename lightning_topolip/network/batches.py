"""Batches: how many samples they hold, where they lie, and how a model is called with one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lightning_topolip.network.representations import tensors_in

FEWEST_SAMPLES = 3
_ANY_POSITIONAL, _ANY_KEYWORD = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


def samples_in(batch: Any) -> int:
    """Count the samples of a batch: the length of its first tensor that has rows, 0 where there is none.

    Args:
        batch: A tensor or any nesting of tensors.

    Returns:
        The number n.

    Example:
        >>> import torch
        >>> samples_in({"pixels": torch.zeros(5, 3), "labels": torch.zeros(5)})
        5
    """
    return next((len(tensor) for tensor in tensors_in(batch) if tensor.ndim), 0)


def require_padded(batch: Any) -> None:
    """Refuse packed sequences, whose rows are not samples.

    Args:
        batch: A tensor or any nesting of tensors.

    Raises:
        ValueError: If it holds packed sequences.
    """
    packed: list[PackedSequence] = []
    apply_to_collection(batch, PackedSequence, packed.append)
    if packed:
        raise ValueError(
            "A probe must hold padded sequences, shape (n, T, ...), got packed ones; pack them in `forward`, or in "
            "`forward_fn`."
        )


def move_batch(batch: Any, device: torch.device) -> Any:
    """Copy every tensor of a batch to a device.

    Args:
        batch: A tensor or any nesting of tensors.
        device: Where to.

    Returns:
        The same structure with tensors of its own, so that a forward that works in place spoils nothing.
    """
    return apply_to_collection(batch, Tensor, lambda tensor: tensor.detach().to(device, copy=True))


def copied(batch: Any) -> Any:
    """Copy every tensor of a batch where it is.

    Args:
        batch: A tensor or any nesting of tensors.

    Returns:
        The same structure with tensors of its own.
    """
    return apply_to_collection(batch, Tensor, lambda tensor: tensor.detach().clone())


def run_model(model: nn.Module, batch: Any) -> Any:
    """Call a model with what its ``forward`` takes of a batch.

    Args:
        model: The module to call.
        batch: The batch.

    Returns:
        What the model returns.

    Example:
        >>> import torch
        >>> run_model(torch.nn.Linear(4, 2), (torch.zeros(3, 4), torch.zeros(3))).shape
        torch.Size([3, 2])
    """
    inputs = model_inputs(model, batch)
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


def model_inputs(model: nn.Module, batch: Any) -> tuple[Any, ...] | dict[str, Any]:
    """Select what a model's ``forward`` takes of a batch, as most training steps do.

    Args:
        model: The module.
        batch: The batch.

    Returns:
        Of a mapping the entries that ``forward`` names (labels and other extras stay out); where it names none, all of
        them for a ``forward(**inputs)``, else the mapping as the only argument. Of a tuple or list the first elements,
        as many as ``forward`` requires, so of ``(images, labels)`` the images. Anything else as the only argument.
    """
    parameters = _parameters(model)
    if isinstance(batch, Mapping):
        known = {name: batch[name] for name in parameters if name in batch}
        takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
        return known or (dict(batch) if takes_any else (batch,))
    if isinstance(batch, (tuple, list)):
        required = [p for p in parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
        return tuple(batch[: max(len(required), 1)])
    return (batch,)


def _parameters(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    """What ``forward`` takes; of a wrapper that hands everything on, what the wrapped module takes."""
    parameters = inspect.signature(model.forward).parameters
    children = list(model.children())
    if len(children) == 1 and {p.kind for p in parameters.values()} == {_ANY_POSITIONAL, _ANY_KEYWORD}:
        return _parameters(children[0])
    return parameters
