"""The Python attributes of a network's modules: counters, caches, lists of outputs, states of metrics, generators."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.network.isolation import GENERATORS

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_CONTAINERS = (list, dict, set, deque, Counter, OrderedDict, defaultdict)
_SHARDED = ("torch.distributed", "deepspeed", "lightning.fabric.strategies")


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Within the block the modules work on copies of their attributes; afterwards they have the originals again.

    Copied are tensors, containers and random generators; other objects are shared, but an attribute that is set to
    another object comes back. Buffers, parameters and hooks are not attributes in this sense. The modules of torch
    itself keep nothing in attributes; a model that is sharded keeps there what belongs to the sharding, and is skipped.

    Args:
        model: The network.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> model.calls = [1]
        >>> with attributes_kept(nn.Sequential(model)):
        ...     model.calls.append(2)
        >>> model.calls
        [1, 2]
    """
    modules = list(model.modules())
    if any(type(module).__module__.startswith(_SHARDED) for module in modules):
        yield
        return
    copies = _Copies()
    kept = [(module, _attributes(module)) for module in modules if _keeps_attributes(module)]
    try:
        for module, attributes in kept:
            vars(module).update({name: copies.copy(value) for name, value in attributes.items()})
        yield
    finally:
        for module, attributes in kept:
            for name in _attributes(module).keys() - attributes.keys():
                del vars(module)[name]
            vars(module).update(attributes)


class _Copies:
    """Copies of values, the same copy for a value that occurs twice."""

    def __init__(self) -> None:
        self._copies: dict[int, Any] = {}

    def copy(self, value: Any) -> Any:
        if id(value) not in self._copies:
            self._copies[id(value)] = self._new(value)
        return self._copies[id(value)]

    def _new(self, value: Any) -> Any:
        if isinstance(value, GENERATORS):
            return copy.deepcopy(value)
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            return value.detach().clone()
        if type(value) not in _CONTAINERS:
            return value
        other = copy.copy(value)
        if isinstance(value, dict):
            other.update({key: self._container(item) for key, item in value.items()})
        elif isinstance(value, list):
            other[:] = map(self._container, value)
        return other

    def _container(self, value: Any) -> Any:
        return self.copy(value) if type(value) in _CONTAINERS else value


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}


def _keeps_attributes(module: nn.Module) -> bool:
    return not type(module).__module__.startswith("torch.") and not isinstance(module, torch.jit.ScriptModule)
