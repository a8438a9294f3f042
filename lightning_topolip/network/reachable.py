"""The Python objects that an object holds, in attributes, containers, closures and bound methods."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

_OF_OTHER_THREADS = {
    "threading", "_thread", "concurrent", "queue", "multiprocessing", "asyncio", "logging", "weakref"
}  # fmt: skip
_SCALARS = (str, bytes, int, float, complex, type(None), type, ModuleType)
_NUMBERS = (Tensor, np.ndarray, torch.Generator, np.random.Generator, np.random.RandomState)
_MOST_OBJECTS = 100_000


def reachable(*owners: Any, foreign: tuple[str, ...] = ()) -> Iterator[Any]:
    """Iterate over objects and all that they hold, each once, the nearest 100,000 first.

    What the objects of other threads hold, such as that of queues, locks and futures, is not looked at: it may change
    meanwhile.

    Args:
        owners: The objects.
        foreign: Beginnings of the names of modules whose objects are not looked into either.

    Yields:
        Every object but numbers, texts, classes and modules.

    Example:
        >>> inner = [3]
        >>> any(held is inner for held in reachable({"a": (1, inner)}))
        True
    """
    seen: dict[int, Any] = {}
    waiting = deque(owners)
    while waiting and len(seen) < _MOST_OBJECTS:
        value = waiting.popleft()
        if id(value) in seen or isinstance(value, _SCALARS):
            continue
        seen[id(value)] = value
        yield value
        if not isinstance(value, _NUMBERS) and not is_foreign(value, foreign):
            waiting.extend(_held(value))


def is_foreign(value: Any, foreign: tuple[str, ...]) -> bool:
    """Whether an object belongs to other threads, or to modules whose names begin in some way."""
    module = type(value).__module__
    return module.partition(".")[0] in _OF_OTHER_THREADS or module.startswith(foreign)


def filled_cells(function: FunctionType) -> list[Any]:
    """The variables that a function closes over, as cells that are not empty."""
    return [cell for cell in function.__closure__ or () if _is_filled(cell)]


def slots(value: Any) -> list[tuple[MemberDescriptorType, Any]]:
    """The filled slots of an object with their contents, also slots that a property of the same name hides."""
    declaring = [vars(kind) for kind in type(value).__mro__ if "__slots__" in vars(kind)]
    members = [member for names in declaring for member in names.values() if isinstance(member, MemberDescriptorType)]
    return [(slot, slot.__get__(value)) for slot in members if _is_set(slot, value)]


def _held(value: Any) -> list[Any]:
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, FunctionType):
        return [cell.cell_contents for cell in filled_cells(value)] + list(value.__defaults__ or ())
    elements = value.values() if isinstance(value, dict) else value
    content = list(elements) if isinstance(value, (dict, list, tuple, set, deque)) else []
    return [*content, *getattr(value, "__dict__", {}).values(), *(content for _, content in slots(value))]


def _is_set(slot: MemberDescriptorType, value: Any) -> bool:
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  an empty cell raises
    except ValueError:
        return False
    return True
