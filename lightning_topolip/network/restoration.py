"""The state of Python objects, taken before somebody else's code runs and put back afterwards."""

from __future__ import annotations

import copy
import io
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_topolip.network.reachable import filled_cells, is_foreign, reachable, slots

_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_LARGEST = 2**26


@contextmanager
def restored(*owners: Any, foreign: tuple[str, ...] = ()) -> Iterator[None]:
    """Put back after the block what it changed in objects and in all that these hold, see `reachable`.

    That is: attributes, also those in slots, the contents of lists, dictionaries, sets and deques, variables that
    functions close over, positions of files, random generators, and tensors and arrays up to 64 MB. Identities stay.
    A file that the block opened and kept in an attribute is closed.

    Args:
        owners: The objects.
        foreign: Beginnings of the names of modules whose objects are left alone.

    Example:
        >>> import torch
        >>> sampler = torch.utils.data.RandomSampler(range(9), generator=torch.Generator().manual_seed(0))
        >>> with restored(sampler):
        ...     first = list(sampler)
        >>> first == list(sampler)
        True
    """
    values = list(reachable(*owners, foreign=foreign))
    known = set(map(id, values))
    with ExitStack() as stack:
        for value in values:
            if not is_foreign(value, foreign) or isinstance(value, (*_GENERATORS, Tensor)):
                for undo in _undoing(value, known):
                    stack.callback(undo)
        yield


def _undoing(value: Any, known: Collection[int]) -> Iterator[Callable[[], None]]:
    """What puts the state of one object back, without that of the objects it holds."""
    if isinstance(value, _GENERATORS):
        yield partial(_set_generator_state, value, _generator_state(value))
    elif isinstance(value, Tensor):
        if value.layout is torch.strided and value.nbytes <= _LARGEST:
            yield partial(_set_tensor, value, value.detach().clone())
    elif isinstance(value, np.ndarray):
        if value.flags.writeable and 0 < value.nbytes <= _LARGEST:
            yield partial(np.copyto, value, value.copy())
    elif isinstance(value, FunctionType):
        for cell in filled_cells(value):
            yield partial(setattr, cell, "cell_contents", cell.cell_contents)
    else:
        yield from _undoing_content(value)
        yield from _undoing_attributes(value, known)


def _undoing_content(value: Any) -> Iterator[Callable[[], None]]:
    if isinstance(value, dict):
        yield partial(_set_items, value, list(value.items()))
    elif isinstance(value, (list, deque, set)):
        yield partial(_set_elements, value, list(value))
    elif isinstance(value, io.IOBase) and not value.closed:
        with suppress(OSError, ValueError):
            yield partial(_seek, value, value.tell())


def _undoing_attributes(value: Any, known: Collection[int]) -> Iterator[Callable[[], None]]:
    for slot, content in slots(value):
        yield partial(slot.__set__, value, content)
    if hasattr(value, "__dict__"):
        yield partial(_set_attributes, value, dict(vars(value)), known)


def _seek(file: io.IOBase, position: int) -> None:
    if not file.closed and file.tell() != position:
        file.seek(position)


def _set_attributes(value: Any, attributes: dict[str, Any], known: Collection[int]) -> None:
    present = vars(value)
    changed = [new for name, new in present.items() if new is not attributes.get(name, present)]
    if changed or len(present) != len(attributes):
        present.clear()
        present.update(attributes)
    for new in changed:
        if isinstance(new, io.IOBase) and id(new) not in known:
            new.close()


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
