"""Join the batches of a loader into one, and cut it to a size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from lightning_topolip.network.batches import samples_in


class _Column(tuple[Any, ...]):
    """Values that are not tensors, one per sample."""

    __slots__ = ()


def with_columns(batch: Any) -> Any:
    """Mark the lists that hold one value per sample and no tensors, such as texts or file names."""
    n = samples_in(batch)

    def column(values: Any) -> Any:
        if isinstance(values, _Column) or (len(values) == n and not samples_in(values)):
            return _Column(values)
        parts = [apply_to_collection(value, (list, tuple), column) for value in values]
        return type(values)(*parts) if hasattr(values, "_fields") else type(values)(parts)

    return apply_to_collection(batch, (list, tuple), column)


def _rows(batch: Any) -> list[Tensor | _Column]:
    rows: list[Tensor | _Column] = []
    apply_to_collection(batch, (Tensor, _Column), rows.append)
    return rows


def _length(rows: Tensor | _Column) -> int:
    return len(rows) if isinstance(rows, _Column) or rows.ndim else -1


def shapes(batch: Any) -> list[torch.Size | None]:
    """The shapes of one sample in every tensor of a batch; None for a column."""
    return [rows.shape[1:] if isinstance(rows, Tensor) else None for rows in _rows(batch)]


def joined(parts: list[Any]) -> Any:
    """Join the values with one row per sample; the others are those of the first part."""
    counts = [samples_in(part) for part in parts]
    values = [
        _concatenated(rows) if [_length(row) for row in rows] == counts else rows[0]
        for rows in zip(*map(_rows, parts), strict=True)
    ]
    following = iter(values)
    return apply_to_collection(parts[0], (Tensor, _Column), lambda _: next(following))


def _concatenated(rows: Sequence[Tensor | _Column]) -> Tensor | _Column:
    tensors = [row for row in rows if isinstance(row, Tensor)]
    return torch.cat(tensors) if tensors else _Column(itertools.chain.from_iterable(rows))


def cut(batch: Any, size: int) -> Any:
    """Keep the first rows of the values with one row per sample; columns become lists again."""
    n = samples_in(batch)

    def first(rows: Tensor | _Column) -> Any:
        if isinstance(rows, _Column):
            return list(rows[:size])
        return rows[:size].clone() if _length(rows) == n else rows

    return apply_to_collection(batch, (Tensor, _Column), first)
