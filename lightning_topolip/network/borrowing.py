"""Borrow a model, and give it back exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightning_topolip.network.attributes import attributes_kept
from lightning_topolip.network.layouts import restore
from lightning_topolip.network.silence import silenced
from lightning_topolip.randomness import kept_random_numbers

_LARGEST_WEIGHTS = 2**28


@contextmanager
def borrowed(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Borrow a model for the block, and give it back exactly as it was, also after an error.

    Within the block the model runs in evaluation mode, without gradients, eagerly even if it is compiled, without
    torch's fused transformer layers, which hide their parts and pass nested tensors on, and draws its random numbers
    from ``seed``; a LightningModule is cut off from its trainer, see `silenced`. Afterwards every module's mode, all
    weights up to 256 MB, buffers, Python attributes and every global random generator are what they were before.

    Args:
        model: The module to borrow.
        seed: Seed of the random numbers that the model itself draws.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Dropout())
        >>> with borrowed(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.compiler.set_stance("force_eager"),
        _fused_attention_off(),
        kept_random_numbers(seed),
        _buffers_kept(model),
        attributes_kept(model),
        silenced(model),
        _evaluation_mode(model),
    ):
        yield


@contextmanager
def _fused_attention_off() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Set the flags alone: a module's own ``train()`` may do more, such as merge weights."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Restore the content, identity and existence of every buffer; `named_buffers` hides those that are None.

    The weights are restored too, since some forwards change them: an embedding with ``max_norm``, a momentum encoder.
    """
    kept = [(module, dict(module._buffers), set(module._non_persistent_buffers_set)) for module in model.modules()]
    contents = [
        (buffer, buffer.detach().clone()) for _, buffers, _ in kept for buffer in buffers.values() if buffer is not None
    ]
    weights = [(weight, weight.data, weight.detach().clone()) for weight in _weights_to_keep(model)]
    try:
        yield
    finally:
        for weight, data, content in weights:
            if weight.data_ptr() != data.data_ptr():
                weight.data = data
            restore(data, content)
        for buffer, content in contents:
            restore(buffer, content)
        for module, buffers, hidden in kept:
            if _same(module._buffers, buffers) and set(module._non_persistent_buffers_set) == hidden:
                continue
            if isinstance(module, torch.jit.ScriptModule):  # its buffers can be replaced, but not added or removed
                for name, original in buffers.items():
                    setattr(module, name, original)
                continue
            module._buffers.clear()
            module._buffers.update(buffers)
            module._non_persistent_buffers_set.clear()
            module._non_persistent_buffers_set.update(hidden)


def _weights_to_keep(model: nn.Module) -> list[Tensor]:
    """All weights, or none if they are large, sharded or not initialised."""
    weights: list[Tensor] = list(model.parameters())
    plain = all(type(weight.data) is Tensor and not is_lazy(weight) for weight in weights)
    return weights if plain and sum(weight.nbytes for weight in weights) <= _LARGEST_WEIGHTS else []


def _same(first: Mapping[str, Tensor | None], second: Mapping[str, Tensor | None]) -> bool:
    names = list(first.keys())
    return names == list(second) and all(first[name] is second[name] for name in names)
