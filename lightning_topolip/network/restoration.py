"""The state of Python objects, taken before somebody else's code runs and put back afterwards."""

from __future__ import annotations

import copy
import ctypes
import functools
import io
import mmap
import multiprocessing.connection
import multiprocessing.managers
import multiprocessing.queues
import multiprocessing.shared_memory
import multiprocessing.sharedctypes
import queue
import random
import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_BETWEEN_PROCESSES = (
    multiprocessing.sharedctypes.SynchronizedBase,
    multiprocessing.managers.BaseProxy,
    multiprocessing.queues.Queue,
    multiprocessing.queues.SimpleQueue,
    multiprocessing.connection.Connection,
    multiprocessing.shared_memory.SharedMemory,
    mmap.mmap,
)
_MOVING = (Iterator, queue.Queue, queue.SimpleQueue, socket.socket)
_OF_OTHER_THREADS = {
    "threading", "_thread", "concurrent", "queue", "multiprocessing", "asyncio", "logging", "weakref"
}  # fmt: skip
_SCALARS = (str, bytes, int, float, complex, type(None), type, ModuleType)
_MOST_OBJECTS = 100_000
_LARGEST = 2**26


@contextmanager
def restored(*owners: Any, largest: int = _LARGEST, foreign: tuple[str, ...] = ()) -> Iterator[None]:
    """Put back after the block what it changed in objects and in all that these hold.

    That is: attributes, also those in slots, the contents of lists, dictionaries, sets and queues, variables that
    functions close over, random generators, and tensors and arrays. Identities stay. A file that the block opened and
    kept in an attribute is closed. The 100,000 objects that are nearest are looked into, but not what other threads may
    change meanwhile, such as queues, locks and futures.

    Args:
        owners: The objects.
        largest: Bytes of the largest tensor or array that is put back.
        foreign: Beginnings of the names of modules whose objects are left alone.

    Example:
        >>> import torch
        >>> sampler = torch.utils.data.RandomSampler(range(9), generator=torch.Generator().manual_seed(0))
        >>> with restored(sampler):
        ...     first = list(sampler)
        >>> first == list(sampler)
        True
    """
    state = _State(largest, foreign)
    state.take(owners)
    try:
        yield
    finally:
        for undo in state.undo:
            undo()


def moves_on(*owners: Any) -> bool:
    """Whether objects hold something that cannot be put back: an iterator that is no file, a queue, shared memory."""
    state = _State(0, ())
    state.take(owners)
    return state.moves or state.is_shared


def holds_open_file(*owners: Any) -> bool:
    """Whether objects hold an open file, whose position a forked process shares."""
    state = _State(0, ())
    state.take(owners)
    return state.is_open


def is_shared(*owners: Any) -> bool:
    """Whether objects hold a value, queue or proxy that several processes share."""
    state = _State(0, ())
    state.take(owners)
    return state.is_shared


class _State:
    """What has to be done to put the state back; every object is visited once."""

    def __init__(self, largest: int, foreign: tuple[str, ...]) -> None:
        self.undo: list[Callable[[], None]] = []
        self.moves = self.is_shared = self.is_open = False
        self._largest, self._foreign = largest, foreign

    def take(self, owners: Any) -> None:
        seen: dict[int, Any] = {}
        waiting = deque([owners])
        while waiting and len(seen) < _MOST_OBJECTS:
            value = waiting.popleft()
            if id(value) not in seen:
                seen[id(value)] = value
                waiting.extend(held for held in self._visit(value) if not isinstance(held, _SCALARS))

    def _visit(self, value: Any) -> list[Any]:
        """Take the state of one object, and return what it holds."""
        self.is_shared |= _is_shared_memory(value)
        self.is_open |= isinstance(value, io.IOBase) and not value.closed
        self.moves |= isinstance(value, _MOVING) and not isinstance(value, io.IOBase)
        if isinstance(value, (*_GENERATORS, Tensor, np.ndarray)):
            self._take_numbers(value)
            return []
        if isinstance(value, _SCALARS) or self._is_foreign(type(value).__module__):
            return []
        if isinstance(value, io.IOBase) and not value.closed:
            self._take_position(value)
        if isinstance(value, functools.partial):
            return [value.func, *value.args, *value.keywords.values()]
        if isinstance(value, MethodType):
            return [value.__self__, value.__func__]
        if isinstance(value, FunctionType):
            return self._take_closure(value)
        return self._take_content(value) + self._take_attributes(value)

    def _is_foreign(self, module: str) -> bool:
        return module.partition(".")[0] in _OF_OTHER_THREADS or module.startswith(self._foreign)

    def _take_position(self, file: io.IOBase) -> None:
        try:
            position = file.tell()
        except (OSError, ValueError):
            self.moves = True
        else:
            self.undo.append(lambda: _seek(file, position))

    def _take_numbers(self, value: Any) -> None:
        if isinstance(value, _GENERATORS):
            before = _generator_state(value)
            self.undo.append(lambda: _set_generator_state(value, before))
        elif isinstance(value, Tensor) and value.layout is torch.strided and value.nbytes <= self._largest:
            numbers = value.detach().clone()
            self.undo.append(lambda: _set_tensor(value, numbers))
        elif isinstance(value, np.ndarray) and value.flags.writeable and 0 < value.nbytes <= self._largest:
            array = value.copy()
            self.undo.append(lambda: np.copyto(value, array))

    def _take_closure(self, function: FunctionType) -> list[Any]:
        filled = [(cell, cell.cell_contents) for cell in function.__closure__ or () if _is_filled(cell)]

        def undo() -> None:
            for cell, content in filled:
                cell.cell_contents = content

        self.undo.append(undo)
        return [content for _, content in filled] + list(function.__defaults__ or ())

    def _take_content(self, value: Any) -> list[Any]:
        if isinstance(value, dict):
            items = list(value.items())
            self.undo.append(lambda: _set_items(value, items))
            return [item for _, item in items]
        if isinstance(value, (list, deque, set)):
            elements = list(value)
            self.undo.append(lambda: _set_elements(value, elements))
            return elements
        return list(value) if isinstance(value, tuple) else []

    def _take_attributes(self, value: Any) -> list[Any]:
        attributes = dict(getattr(value, "__dict__", {}))
        slots = {name: getattr(value, name) for name in _slots(value) if hasattr(value, name)}
        if attributes or hasattr(value, "__dict__"):
            self.undo.append(lambda: _set_attributes(value, attributes))
        for name, content in slots.items():
            self.undo.append(functools.partial(_set_slot, value, name, content))
        return [*attributes.values(), *slots.values()]


def _is_shared_memory(value: Any) -> bool:
    if isinstance(value, np.memmap):
        return bool(value.flags.writeable)
    return isinstance(value, _BETWEEN_PROCESSES) or (isinstance(value, ctypes.Array) and hasattr(value, "_wrapper"))


def _seek(file: io.IOBase, position: int) -> None:
    if not file.closed and file.tell() != position:
        file.seek(position)


def _set_attributes(value: Any, attributes: dict[str, Any]) -> None:
    present = vars(value)
    changed = [new for name, new in present.items() if new is not attributes.get(name, present)]
    if changed or len(present) != len(attributes):
        present.clear()
        present.update(attributes)
    for new in changed:
        if isinstance(new, io.IOBase):
            new.close()


def _set_slot(value: Any, name: str, content: Any) -> None:
    if getattr(value, name, None) is not content:
        object.__setattr__(value, name, content)


def _slots(value: Any) -> list[str]:
    slots = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    names = [name for part in slots for name in ([part] if isinstance(part, str) else part)]
    return [name for name in names if name not in ("__dict__", "__weakref__") and not name.startswith("__")]


def _set_items(value: dict[Any, Any], items: list[tuple[Any, Any]]) -> None:
    kind: Any = OrderedDict if isinstance(value, OrderedDict) else dict
    present = list(kind.items(value))
    if len(present) == len(items) and all(
        key is old and item is new for (key, item), (old, new) in zip(present, items, strict=True)
    ):
        return
    kind.clear(value)
    for key, item in items:
        kind.__setitem__(value, key, item)


def _set_elements(value: Any, elements: list[Any]) -> None:
    if len(value) == len(elements) and all(new is old for new, old in zip(value, elements, strict=True)):
        return
    kind: Any = next(kind for kind in (list, deque, set) if isinstance(value, kind))
    kind.clear(value)
    (kind.update if kind is set else kind.extend)(value, elements)


def _set_tensor(value: Tensor, numbers: Tensor) -> None:
    with torch.no_grad():
        if value.shape != numbers.shape:
            value.data = numbers
        elif not torch.equal(value, numbers):
            value.detach().copy_(numbers)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  an empty cell raises
    except ValueError:
        return False
    return True


def _generator_state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return copy.deepcopy(generator.bit_generator.state)
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def _set_generator_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)
