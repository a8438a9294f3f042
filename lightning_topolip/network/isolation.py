"""Copies of loaders, samplers and data sets whose reading leaves the originals as they are."""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any, TypeVar

import numpy as np
import torch

Value = TypeVar("Value")

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_CONTAINERS = (list, tuple, dict, set, deque)
_WIDTH = 64
_OWN_COPYING = ("__reduce__", "__reduce_ex__", "__getstate__", "__deepcopy__", "__copy__", "__new__")


def isolated(value: Value) -> Value:
    """Copy the Python objects in a loader, sampler or data set: their attributes, containers and random generators.

    So what the copy counts, draws, caches or opens does not reach the original. Tensors, arrays, open files, the
    elements of containers with more than 64, and objects with their own way to be copied or a ``__del__`` are shared.

    Example:
        >>> import torch
        >>> sampler = torch.utils.data.RandomSampler(range(9), generator=torch.Generator().manual_seed(0))
        >>> list(isolated(sampler)) == list(sampler)
        True
    """
    copied: Value = _Isolation().copy(value)
    return copied


def live_iterators(value: Any) -> list[Any]:
    """Return the iterators, such as generators and open files, that an object holds and that reading it would move."""
    isolation = _Isolation()
    isolation.copy(value)
    return [shared for shared in isolation.shared.values() if isinstance(shared, Iterator)]


class _Isolation:
    """One act of copying, in which an object that occurs twice is copied once."""

    def __init__(self) -> None:
        self.shared: dict[int, Any] = {}
        self._copies: dict[int, tuple[Any, Any]] = {}

    def copy(self, value: Any) -> Any:
        if id(value) not in self._copies:
            self._copies[id(value)] = (value, value)
            self._copies[id(value)] = (self._new(value), value)
        return self._copies[id(value)][0]

    def _new(self, value: Any) -> Any:
        if isinstance(value, GENERATORS):
            return copy.deepcopy(value)
        if type(value) in _CONTAINERS:
            return self._container(value)
        if isinstance(value, MethodType) and not isinstance(value.__self__, type):
            return MethodType(value.__func__, self.copy(value.__self__))
        if _is_plain(value):
            return self._object(value)
        self.shared[id(value)] = value
        return value

    def _object(self, value: Any) -> Any:
        other = self._keep(value, object.__new__(type(value)))
        other.__dict__.update({name: self.copy(attribute) for name, attribute in vars(value).items()})
        return other

    def _container(self, value: Any) -> Any:
        if len(value) > _WIDTH or isinstance(value, set):
            return copy.copy(value)
        if isinstance(value, tuple):
            return tuple(map(self.copy, value))
        other = self._keep(value, copy.copy(value))
        other.clear()
        if isinstance(value, dict):
            other.update({key: self.copy(item) for key, item in value.items()})
        else:
            other.extend(self.copy(item) for item in value)
        return other

    def _keep(self, value: Any, other: Any) -> Any:
        """Remember the copy, and the original so that its identity is not used again."""
        self._copies[id(value)] = (other, value)
        return other


def _is_plain(value: Any) -> bool:
    """Whether an object is no more than its attributes, and nothing happens when it is thrown away."""
    kind = type(value)
    if not hasattr(value, "__dict__") or isinstance(value, (type, FunctionType, Iterator)) or hasattr(kind, "__del__"):
        return False
    if any(getattr(kind, name, None) is not getattr(object, name, None) for name in _OWN_COPYING):
        return False
    return not any(vars(base).get("__slots__") for base in kind.__mro__)
