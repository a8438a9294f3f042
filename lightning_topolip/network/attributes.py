"""The Python attributes of a network's modules: counters, caches, lists of outputs, states of metrics, generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lightning_topolip.network.restoration import restored

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_SHARDED = ("torch.distributed", "deepspeed", "lightning.fabric.strategies")
_FRAMEWORKS = ("lightning.", "pytorch_lightning.", "lightning_topolip.", "torch.nn.", "torch.optim.", "torch._")
_LEFT_ALONE = (nn.Module, Dataset, DataLoader)


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Put back after the block what it changed in the attributes of all modules and in what these hold.

    Buffers, parameters, hooks, and data sets with their loaders are not attributes in this sense. The modules of torch
    itself keep nothing in attributes; a model that is sharded keeps there what belongs to the sharding, and is skipped.

    Args:
        model: The network.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> holder = nn.Module()
        >>> holder.calls = [1]
        >>> with attributes_kept(holder):
        ...     holder.calls.append(2)
        >>> holder.calls
        [1, 2]
    """
    modules = list(model.modules())
    if any(type(module).__module__.startswith(_SHARDED) for module in modules):
        yield
        return
    kept = [(module, _attributes(module)) for module in modules if _keeps_attributes(module)]
    with restored([attributes for _, attributes in kept], foreign=_FRAMEWORKS):
        try:
            yield
        finally:
            for module, attributes in kept:
                for name in _attributes(module).keys() - attributes.keys():
                    del vars(module)[name]
                vars(module).update(attributes)


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if name not in _OF_EVERY_MODULE and not isinstance(value, _LEFT_ALONE)
    }


def _keeps_attributes(module: nn.Module) -> bool:
    return not type(module).__module__.startswith("torch.") and not isinstance(module, torch.jit.ScriptModule)
