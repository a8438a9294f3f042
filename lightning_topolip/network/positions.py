"""The positions of sequences: which hold real tokens, and which one stands for a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_topolip.network.nesting import DEEPEST, named_parts

Mask = str | Callable[[Any], Tensor] | None
"""``"auto"``, the name of an entry of the batch, a function of the batch, or None; see `TopoLipCallback`."""

_REAL = ("attention_mask", "decoder_attention_mask")
_LABELS = "labels"
_IGNORED_LABEL = -100
_PADDING = ("padding_mask", "key_padding_mask", "src_key_padding_mask", "tgt_key_padding_mask")


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
    def of(cls, batch: Any, samples: int, mask: Mask, seed: int) -> Positions:
        """Find the masks of a batch.

        Args:
            batch: The batch.
            samples: Its number n of samples.
            mask: Where the mask is, see `Mask`.
            seed: Seed of the draws.

        Raises:
            ValueError: If the named entry does not exist, a mask has another shape, or a sample has no real token.
        """
        masks = _found(batch, samples, mask)
        if all(bool(real.all()) for real in masks.values()):
            masks = {}
        for name, real in masks.items():
            empty = int((~real.any(dim=1)).sum())
            if empty:
                raise ValueError(
                    f"Argument `mask` must leave at least one real token of every sample, got {empty} samples of "
                    f"{samples} without, in {name}; mask=None counts all positions."
                )
        return cls(masks, torch.rand(samples, generator=torch.Generator().manual_seed(seed)))

    def part(self, start: int, stop: int) -> Positions:
        """Select some samples."""
        return Positions({name: real[start:stop] for name, real in self.masks.items()}, self.draws[start:stop])

    def real_in(self, output: Tensor) -> Tensor | None:
        """Find the mask of a layer's output; None if it holds no sequences or nothing is padded.

        Raises:
            ValueError: If no mask, or more than one, has as many positions as the output.
        """
        if output.ndim != 3 or not self.masks:
            return None
        fitting = [name for name, real in self.masks.items() if real.shape[1] == output.shape[1]]
        if len(fitting) > 1:
            fitting = [name for name in fitting if name != _LABELS]
        if len(fitting) != 1:
            lengths = ", ".join(f"{name}: {real.shape[1]}" for name, real in self.masks.items())
            raise ValueError(
                f"its output has {output.shape[1]} positions, which {len(fitting) or 'none'} of the masks have "
                f"({lengths}), so that padding cannot be told from tokens; it is skipped. Give `mask` another entry, "
                "or mask=None to count all positions"
            )
        return self.masks[fitting[0]].to(output.device)


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


def _found(batch: Any, samples: int, mask: Mask) -> dict[str, Tensor]:
    if mask is None:
        return {}
    if callable(mask):
        return {"mask": _checked("the function", mask(batch), samples)}
    entries = dict(_tensors(batch))
    if mask != "auto":
        if mask not in entries:
            raise ValueError(
                f"Argument `mask` must be the name of a tensor in the batch, got {mask!r}, and it holds "
                f"{', '.join(map(str, entries)) or 'none with a name'}; a function of the batch works as well."
            )
        return {mask: _checked(mask, _is_real(entries[mask]), samples)}
    found = {name: _is_real(entries[name]) for name in _REAL if name in entries}
    found |= {name: entries[name] == 0 for name in _PADDING if name in entries}
    if found and _LABELS in entries:  # those of a decoder that has no mask of its own
        found[_LABELS] = entries[_LABELS] != _IGNORED_LABEL
    return {name: real for name, real in found.items() if real.ndim == 2 and len(real) == samples}


def _tensors(batch: Any, deepest: int = DEEPEST) -> Iterator[tuple[str, Tensor]]:
    """The tensors that have a name, the innermost ones first, so that outer ones win."""
    for name, value in named_parts(batch).items() if deepest else ():
        if isinstance(value, Tensor):
            if isinstance(name, str):
                yield name, value
        else:
            yield from _tensors(value, deepest - 1)


def _is_real(mask: Tensor) -> Tensor:
    """Real where the entry is not 0; of a mask that is added to scores, where it is 0."""
    is_added = mask.is_floating_point() and bool((mask < 0).any())
    return mask == 0 if is_added else mask != 0


def _checked(name: str, mask: Any, samples: int) -> Tensor:
    if not isinstance(mask, Tensor) or mask.ndim != 2 or len(mask) != samples:
        shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"Argument `mask` must give a tensor of shape (n, T) with n = {samples}, not 0 for real tokens, "
            f"got {shape} from {name}."
        )
    return mask != 0
