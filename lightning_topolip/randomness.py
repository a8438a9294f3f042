"""Seeded random numbers that leave every global generator as it was."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


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
def _torch_kept() -> Iterator[None]:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = accelerator.type if accelerator is not None else "cuda"
    devices = range(torch.accelerator.device_count()) if accelerator is not None else ()
    with torch.random.fork_rng(devices=devices, device_type=kind):
        yield
