"""Seeded random numbers that leave every global generator as it was."""

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_DEPTH, _WIDTH = 6, 64


@contextmanager
def kept_random_numbers(seed: int) -> Iterator[None]:
    """Seed every global generator within the block and restore all of them after it, even after an error.

    This covers `random`, numpy, and torch on the CPU and on every accelerator in use.

    Example:
        >>> import torch
        >>> before = torch.get_rng_state()
        >>> with kept_random_numbers(seed=0):
        ...     _ = torch.randn(3)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with _torch_kept():
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def kept_generators(*owners: Any) -> Iterator[None]:
    """Restore after the block the random generators in a loader, sampler or data set, and in objects that these hold.

    Example:
        >>> import torch
        >>> sampler = torch.utils.data.RandomSampler(range(9), generator=torch.Generator().manual_seed(0))
        >>> with kept_generators(sampler):
        ...     first = list(sampler)
        >>> first == list(sampler)
        True
    """
    kept = [(generator, _state(generator)) for generator in _generators_of(owners)]
    try:
        yield
    finally:
        for generator, state in kept:
            _restore(generator, state)


def _generators_of(owners: Any) -> list[Any]:
    generators: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [(owner, 0) for owner in owners]
    while waiting:
        value, depth = waiting.pop()
        if id(value) in seen or depth > _DEPTH:
            continue
        seen.add(id(value))
        if isinstance(value, _GENERATORS):
            generators[id(value)] = value
        elif isinstance(value, Mapping):
            waiting += [(inner, depth + 1) for inner in list(value.values())[:_WIDTH]]
        elif isinstance(value, (list, tuple)):
            waiting += [(inner, depth + 1) for inner in value[:_WIDTH]]
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            waiting += [(inner, depth + 1) for inner in vars(value).values()]
    return list(generators.values())


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return copy.deepcopy(generator.bit_generator.state)
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def _restore(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


@contextmanager
def _torch_kept() -> Iterator[None]:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = accelerator.type if accelerator is not None else "cuda"
    devices = range(torch.accelerator.device_count()) if accelerator is not None else ()
    with torch.random.fork_rng(devices=devices, device_type=kind):
        yield
