"""The positions of sequences: which hold real tokens, and which one stands for a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_topolip.network.masks import LABELS, Mask, masks_of

_NO_INPUTS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Positions:
    """The positions of the samples of a batch.

    Attributes:
        masks: By name of the entry, which positions hold real tokens, each boolean of shape ``(n, T)``; none if nothing
            is padded.
        draws: For every sample a random number from 0 to 1, which chooses its position under ``"token"``.
    """

    masks: dict[str, Tensor]
    draws: Tensor

    @classmethod
    def of(cls, batch: Any, samples: int, mask: Mask, seed: int, inputs: Mapping[str, Any] = _NO_INPUTS) -> Positions:
        """Find the masks of a batch.

        Args:
            batch: The batch.
            samples: Its number n of samples.
            mask: Where the mask is, see `Mask`.
            seed: Seed of the draws.
            inputs: What ``forward`` takes of the batch, by the names of its parameters.

        Raises:
            ValueError: If the named entry does not exist, a mask has another shape, or a sample has no real token.
        """
        masks = masks_of(batch, samples, mask, inputs)
        if all(bool(real.all()) for real in masks.values()):
            masks = {}
        for name, real in masks.items():
            empty = int((~real.any(dim=1)).sum())
            if empty:
                raise ValueError(
                    f"Argument `mask` must leave at least one real token of every sample, got {empty} samples of "
                    f"{samples} without, in {name}; leave these samples out, or name another mask."
                )
        return cls(masks, torch.rand(samples, generator=torch.Generator().manual_seed(seed)))

    def part(self, start: int, stop: int) -> Positions:
        """Select some samples."""
        return Positions({name: real[start:stop] for name, real in self.masks.items()}, self.draws[start:stop])

    def tell_padding(self, output: Tensor, own: Tensor | None = None) -> bool:
        """Whether the output's own positions, or the masks, tell padding from tokens."""
        return own is not None or (output.ndim == 3 and bool(self.masks))

    def real_in(self, output: Tensor, own: Tensor | None = None) -> Tensor | None:
        """Find the mask of a layer's output; None if it holds no sequences or nothing is padded.

        A mask fits if it has the positions of the output, or if the output has those of the longest sample alone and
        the other columns of the mask are padding.

        Args:
            output: The output, shape ``(n, ...)``.
            own: Its real positions, if it tells them itself; then a mask only takes further ones out.

        Raises:
            ValueError: If no mask fits, or masks that differ do.
        """
        if own is not None:
            return self._narrowed(own)
        if not self.tell_padding(output):
            return None
        count = output.shape[1]
        fitting = _different(self._as_wide_as(count) or self._cut_to(count))
        if len(fitting) != 1:
            which = f"{len(fitting)} masks that differ fit" if fitting else "no mask fits"
            raise ValueError(
                f"its output has {count} positions, and {which} ({self._in_words()}), so that padding cannot be told "
                f"from tokens; let `mask` return one of shape (n, {count}), or leave it out of `layers`"
            )
        (real,) = fitting.values()
        return real.to(output.device)

    def _as_wide_as(self, count: int) -> dict[str, Tensor]:
        return {name: real for name, real in self.masks.items() if real.shape[1] == count}

    def _cut_to(self, count: int) -> dict[str, Tensor]:
        """The masks of which the longest sample has so many positions; what they cut off is padding."""
        return {name: real[:, :count] for name, real in self.masks.items() if longest_of(real) == count}

    def _narrowed(self, own: Tensor) -> Tensor:
        """The one mask all of whose real positions are among these; if there is none, these."""
        count = own.shape[1]
        cut = {
            name: real[:, :count].to(own.device)
            for name, real in self.masks.items()
            if longest_of(real) <= count <= real.shape[1]
        }
        within = _different({name: real for name, real in cut.items() if not (real & ~own).any()})
        return next(iter(within.values())) if len(within) == 1 else own

    def _in_words(self) -> str:
        return ", ".join(
            f"{name}: {real.shape[1]}, of which the longest sample has {longest_of(real)}"
            for name, real in self.masks.items()
        )


def longest_of(real: Tensor) -> int:
    """The number of positions up to the last one that is real in some sample."""
    return int(real.any(dim=0).nonzero().max()) + 1


def first_of(real: Tensor) -> Tensor:
    """The first real position of every sample, shape ``(n,)``."""
    return real.int().argmax(dim=1)


def last_of(real: Tensor) -> Tensor:
    """The last real position of every sample, shape ``(n,)``."""
    return real.shape[1] - 1 - real.flip(1).int().argmax(dim=1)


def drawn_of(real: Tensor, draws: Tensor) -> Tensor:
    """A random real position of every sample, shape ``(n,)``."""
    ranks = real.cumsum(dim=1)
    wanted = (draws.to(real.device) * ranks[:, -1]).floor().long() + 1
    return ((ranks == wanted[:, None]) & real).int().argmax(dim=1)


def _different(masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """The masks without those that equal another one; labels are one only if there is no other."""
    different: dict[str, Tensor] = {}
    for name, real in masks.items():
        if not any(torch.equal(real, other) for other in different.values()):
            different[name] = real
    return {name: real for name, real in different.items() if name != LABELS} or different
