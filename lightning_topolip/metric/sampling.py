"""The choice of the samples that are kept: one random key per place in the epoch, and the smallest keys win."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# The constants of SplitMix64 (Steele, Lea, Flood 2014), as the signed numbers that torch multiplies modulo 2^64.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_ROUNDS = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))


@dataclass(frozen=True)
class Draw:
    """The samples of a batch that are kept.

    Attributes:
        places: Their places in the epoch.
        chosen: Their rows in the batch, of the same length.
        count: Number of samples of the batch.
        end: The next free place.
    """

    places: Tensor
    chosen: Tensor
    count: int
    end: int

    def rows(self, output: Tensor) -> Tensor:
        """Copy the kept rows of a layer's output of shape ``(count, ...)``."""
        return output.detach()[self.chosen.to(output.device)]


def next_places(end: int, count: int, rank: int = 0, world: int = 1) -> Tensor:
    """Number the next ``count`` samples of process ``rank`` of ``world`` by their places in the epoch, from ``end`` on.

    Rank r takes the places r, r + world, r + 2 world, ... as torch's `DistributedSampler` distributes samples, so that
    a data set that is not shuffled has the same places in any number of processes.

    Example:
        >>> next_places(0, 3, rank=1, world=2), next_places(6, 2, rank=1, world=2)
        (tensor([1, 3, 5]), tensor([7, 9]))
    """
    turn = max(0, -((rank - end) // world))
    return (turn + torch.arange(count)) * world + rank


def lowest(places: Tensor, size: int, seed: int) -> Tensor:
    """Choose the samples with the smallest of seeded random keys, one key per place.

    Each sample has the same probability to be chosen, and the choice from a union is the choice from the choices
    of its parts, whatever the parts were.

    Args:
        places: Different places in the epoch, shape ``(n,)``, int64.
        size: Largest number of samples.
        seed: Seed of the keys.

    Returns:
        Indices into ``places``, shape ``(min(n, size),)``, int64, in the order of the places.

    Example:
        >>> lowest(torch.tensor([4, 1, 3]), size=8, seed=0)
        tensor([1, 2, 0])
    """
    chosen = sampling_keys(places, seed).argsort()[:size]
    return chosen[places[chosen].argsort()]


def sampling_keys(places: Tensor, seed: int) -> Tensor:
    """Compute the random key of every place: the outputs of SplitMix64 from a seeded start, at any place at once.

    Args:
        places: Shape ``(n,)``, int64.
        seed: A whole number >= 0.

    Returns:
        Keys, shape ``(n,)``, int64, uniform over all its values, different for different places.
    """
    start = np.random.SeedSequence(seed).generate_state(1, np.uint64).view(np.int64)
    return splitmix64(places, int(start[0]))


def splitmix64(places: Tensor, start: int = 0) -> Tensor:
    """Compute outputs of the generator SplitMix64.

    Args:
        places: Which outputs, 0 the first, int64 of any shape.
        start: The seed of the generator.

    Returns:
        The outputs, as signed numbers, of the same shape.

    Example:
        >>> [output % 2**64 for output in splitmix64(torch.arange(3), 1234567).tolist()]
        [6457827717110365317, 3203168211198807973, 9817491932198370423]
    """
    mixed = start + (places + 1) * _GAMMA
    for shift, factor in _ROUNDS:
        mixed = (mixed ^ _shifted(mixed, shift)) * factor
    return mixed ^ _shifted(mixed, 31)


def _shifted(values: Tensor, by: int) -> Tensor:
    """Shift right as if unsigned."""
    return (values >> by) & ((1 << (64 - by)) - 1)
