"""Batches: copying them, and calling a model with one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lightning_topolip.network.nesting import mapped

FEWEST_SAMPLES = 3
_ANY_POSITIONAL, _ANY_KEYWORD = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


def require_padded(batch: Any) -> None:
    """Refuse a batch with packed sequences, whose rows are not samples."""
    packed: list[PackedSequence] = []
    mapped(batch, PackedSequence, packed.append)
    if packed:
        raise ValueError(
            "Argument `probe` must hold padded sequences of shape (n, T, ...), got packed ones; pack them in "
            "`forward` or `forward_fn`."
        )


def move_batch(batch: Any, device: torch.device) -> Any:
    """Copy every tensor of a batch to a device, so that a forward that works in place does not change the batch."""
    return mapped(batch, Tensor, lambda tensor: tensor.detach().to(device, copy=True))


def copied(batch: Any) -> Any:
    """Copy every tensor of a batch, each on its device."""
    return mapped(batch, Tensor, lambda tensor: tensor.detach().clone())


def run_model(model: nn.Module, batch: Any) -> Any:
    """Call a model with the parts of a batch that its ``forward`` takes, see `model_inputs`, and return its output.

    Example:
        >>> import torch
        >>> run_model(torch.nn.Linear(4, 2), (torch.zeros(3, 4), torch.zeros(3))).shape
        torch.Size([3, 2])
    """
    inputs = model_inputs(model, batch)
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


def model_inputs(model: nn.Module, batch: Any) -> tuple[Any, ...] | dict[str, Any]:
    """Select the arguments of a model's ``forward`` from a batch, as most training steps do.

    From a mapping they are the entries that ``forward`` names, without labels and other extras; if it names none, all
    entries for a ``forward(**inputs)``, else the mapping as the only argument. From a tuple or list they are the first
    elements, as many as ``forward`` requires, such as the images of ``(images, labels)``. Anything else is the only
    argument.
    """
    parameters = _parameters(model)
    if isinstance(batch, Mapping):
        named = {name: batch[name] for name in parameters if name in batch}
        takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
        return named or (dict(batch) if takes_any else (batch,))
    if isinstance(batch, (tuple, list)):
        required = [p for p in parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
        return tuple(batch[: max(len(required), 1)])
    return (batch,)


def named_inputs(model: nn.Module, batch: Any) -> dict[str, Any]:
    """The `model_inputs` by the names of the parameters of ``forward``.

    Example:
        >>> named_inputs(torch.nn.Linear(4, 2), ["images", "labels"])
        {'input': 'images'}
    """
    inputs = model_inputs(model, batch)
    return inputs if isinstance(inputs, dict) else by_parameter(model, inputs)


def by_parameter(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """Name the positional arguments of a call of a model."""
    return dict(zip(_parameters(model), inputs, strict=False))


def _parameters(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    """The parameters of ``forward``; of a wrapper that passes everything on, those of the wrapped module."""
    parameters = inspect.signature(model.forward).parameters
    children = list(model.children())
    if len(children) == 1 and {p.kind for p in parameters.values()} == {_ANY_POSITIONAL, _ANY_KEYWORD}:
        return _parameters(children[0])
    return parameters
