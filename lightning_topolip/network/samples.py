"""What a sample is, and how many of them a batch holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lightning_topolip.network.nesting import DEEPEST, parts

_IMAGE_AXES, _IMAGE_CHANNELS = 3, (1, 3, 4)


def samples_in(batch: Any) -> int:
    """Count the samples of a batch; 0 if nothing in it has rows.

    A sample is what a data set returns for one index. Collated samples lie along the first axis of tensors, or are the
    elements of a list, see `is_column`. So n is the length of the tensors with two axes or more and of the lists; where
    these differ, the length that the most entries of the batch share, the first of them on a tie. A batch without such
    tensors and lists has the length that the most of its entries share.

    Args:
        batch: A tensor, or tuples, lists, mappings, data classes and plain objects that hold tensors.

    Returns:
        The number n of samples.

    Example:
        >>> import torch
        >>> samples_in({"times": torch.zeros(9), "pixels": torch.zeros(5, 3), "labels": torch.zeros(5)})
        5
        >>> samples_in([torch.zeros(3, 20, 30), torch.zeros(3, 25, 25)])
        2
    """
    entries = [lengths for entry in _entries(batch) if (lengths := _lengths(entry))]
    shared = Counter(length for lengths in entries for length in lengths)
    certain = [length for lengths in entries for length, is_certain in lengths.items() if is_certain]
    return max(certain or shared, key=shared.__getitem__, default=0)


def is_column(values: Any) -> bool:
    """Whether a list or tuple holds one tensor or mapping per sample, instead of one tensor with a row per sample.

    They are images, ``(C, H, W)`` with 1, 3 or 4 channels; in a list also tensors that differ in the length of their
    first axis alone; or mappings with the same keys of which one holds such tensors.

    Example:
        >>> import torch
        >>> is_column([torch.zeros(4, 8), torch.zeros(7, 8)]), is_column([torch.zeros(4, 8), torch.zeros(4)])
        (True, False)
    """
    if not isinstance(values, (list, tuple)) or len(values) < 2 or isinstance(values, PackedSequence):
        return False
    if all(isinstance(value, Tensor) for value in values):
        lengths = {value.size(0) for value in values if value.ndim}
        axes = {value.ndim for value in values}
        if axes == {_IMAGE_AXES} and lengths <= set(_IMAGE_CHANNELS) and len(lengths) == 1:
            return True
        forms = {(value.dtype, *_shape_of_one(value)) for value in values}
        return isinstance(values, list) and len(forms) == 1 and len(lengths) > 1
    if all(isinstance(value, Mapping) for value in values):
        keys = list(values[0])
        return all(list(value) == keys for value in values) and any(
            is_column([value[key] for value in values]) for key in keys
        )
    return False


def are_batches(values: Any) -> bool:
    """Whether a list holds batches, all built alike, instead of the parts of one batch.

    Example:
        >>> import torch
        >>> one = [torch.zeros(4, 2), torch.zeros(4)]
        >>> are_batches([one, one]), are_batches([{"pixels": one[0]}, one[1]]), are_batches(one)
        (True, False, False)
    """
    if not isinstance(values, list) or not values or isinstance(values[0], Tensor) or is_column(values):
        return False
    return len({_form(value) for value in values}) == 1 and samples_in(values[0]) > 0


def _shape_of_one(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.size(axis) for axis in range(1, tensor.ndim))


def _entries(batch: Any) -> list[Any]:
    """The entries of a batch, each with one vote; a collection of a single entry is opened."""
    entries = [batch] if is_column(batch) else parts(batch)
    if len(entries) == 1 and entries[0] is not batch:
        return _entries(entries[0]) or entries
    return entries or [batch]


def _lengths(entry: Any, deepest: int = DEEPEST) -> dict[int, bool]:
    """The lengths in an entry, in their order, and whether a list or a tensor with two axes or more has them."""
    lengths: dict[int, bool] = {}
    if isinstance(entry, PackedSequence):
        lengths[int(entry.batch_sizes[0])] = True
    elif isinstance(entry, Tensor):
        if entry.ndim:
            lengths[entry.size(0)] = entry.ndim > 1
    elif is_column(entry):
        lengths[len(entry)] = True
    elif deepest:
        for part in parts(entry):
            for length, is_certain in _lengths(part, deepest - 1).items():
                lengths[length] = lengths.get(length, False) or is_certain
    return lengths


def _form(value: Any) -> Any:
    """The structure of a batch, without the lengths of its tensors."""
    if isinstance(value, Tensor):
        return value.ndim, value.dtype
    if isinstance(value, Mapping):
        return type(value), tuple((key, _form(item)) for key, item in value.items())
    if is_column(value):
        return type(value), _form(value[0])
    if isinstance(value, (list, tuple)) or is_dataclass(value):
        return type(value), tuple(map(_form, parts(value)))
    return type(value)
