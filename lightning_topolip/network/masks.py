"""The masks of a batch: what it says about which positions of its sequences hold real tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_topolip.network.nesting import DEEPEST, named_parts
from lightning_topolip.network.ragged import up_to
from lightning_topolip.network.sample_axis import tensors_in

Mask = str | Callable[[Any], Tensor] | None
"""``"auto"``, the name of an entry of the batch, a function of the batch, or None; see `TopoLipCallback`."""

LABELS = "labels"
_IGNORED_LABEL = -100
_REAL = ("attention_mask", "decoder_attention_mask")
_PADDING_ENDINGS = ("padding_mask", "pad_mask")
_LENGTHS = ("lengths", "length", "seq_lengths", "seq_lens")


def masks_of(batch: Any, samples: int, mask: Mask, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Find the masks of a batch.

    Args:
        batch: The batch.
        samples: Its number n of samples.
        mask: Where the mask is.
        inputs: What ``forward`` takes of the batch, by the names of its parameters.

    Returns:
        By name of the entry, which positions hold real tokens, each boolean of shape ``(n, T)``.

    Raises:
        ValueError: If the named entry does not exist, or the mask has another shape.

    Example:
        >>> masks_of({"tokens": torch.zeros(2, 3), "lengths": torch.tensor([1, 3])}, 2, "auto", {})
        {'lengths': tensor([[ True, False, False],
                [ True,  True,  True]])}
    """
    if mask is None:
        return {}
    if callable(mask):
        return {"mask": _given("the function", mask(batch), batch, samples)}
    entries = {**dict(_tensors(inputs)), **dict(_tensors(batch))}
    if mask == "auto":
        return _masks_by_name(entries, samples) or _mask_by_lengths(entries, batch, samples)
    if mask not in entries:
        raise ValueError(
            f"Argument `mask` must be the name of a tensor in the batch, got {mask!r}, and it holds "
            f"{', '.join(map(str, entries)) or 'none with a name'}; a function of the batch works as well."
        )
    return {mask: _given(mask, entries[mask], batch, samples)}


def _masks_by_name(entries: Mapping[str, Tensor], samples: int) -> dict[str, Tensor]:
    found = {name: _real(name, mask) for name, mask in entries.items() if name in _REAL or _is_padding(name)}
    if found and LABELS in entries:  # those of a decoder that has no mask of its own
        found[LABELS] = entries[LABELS] != _IGNORED_LABEL
    return {name: real for name, real in found.items() if real.ndim == 2 and len(real) == samples}


def _mask_by_lengths(entries: Mapping[str, Tensor], batch: Any, samples: int) -> dict[str, Tensor]:
    for name in _LENGTHS:
        if name in entries and _are_lengths(entries[name], samples) and _widths(entries[name], batch, samples):
            return {name: _mask_up_to(entries[name], batch, samples)}
    return {}


def _given(name: str, mask: Any, batch: Any, samples: int) -> Tensor:
    if isinstance(mask, Tensor) and mask.ndim == 2 and len(mask) == samples:
        return _real(name, mask)
    if isinstance(mask, Tensor) and _are_lengths(mask, samples):
        return _mask_up_to(mask, batch, samples)
    shape = f"{mask.dtype} of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
    raise ValueError(
        f"Argument `mask` must give a tensor of shape (n, T) with n = {samples}, not 0 for real tokens, or the lengths "
        f"as whole numbers of shape (n,), got {shape} from {name}."
    )


def _real(name: str, mask: Tensor) -> Tensor:
    """Real where the entry is not 0; where it is 0 if it shows the padding, or is added to scores."""
    is_added = mask.is_floating_point() and bool((mask < 0).any())
    return mask == 0 if is_added or _is_padding(name) else mask != 0


def _is_padding(name: str) -> bool:
    return name.endswith(_PADDING_ENDINGS)


def _are_lengths(values: Tensor, samples: int) -> bool:
    is_whole = not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
    return is_whole and values.shape == (samples,) and bool((values >= 0).all())


def _mask_up_to(lengths: Tensor, batch: Any, samples: int) -> Tensor:
    """A mask as wide as the narrowest sequences of the batch that hold the longest sample."""
    return up_to(lengths, min(_widths(lengths, batch, samples), default=int(lengths.max())))


def _widths(lengths: Tensor, batch: Any, samples: int) -> list[int]:
    """The numbers of positions of the tensors in a batch that are long enough."""
    sequences = [tensor for tensor in tensors_in(batch) if tensor.ndim > 1 and len(tensor) == samples]
    return [tensor.size(1) for tensor in sequences if tensor.size(1) >= int(lengths.max())]


def _tensors(batch: Any, deepest: int = DEEPEST) -> Iterator[tuple[str, Tensor]]:
    """The tensors that have a name, the innermost ones first, so that outer ones win."""
    for name, value in named_parts(batch).items() if deepest else ():
        if isinstance(value, Tensor):
            if isinstance(name, str):
                yield name, value
        else:
            yield from _tensors(value, deepest - 1)
