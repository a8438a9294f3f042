"""Join the batches of a loader into one, and cut it to a size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_topolip.network.nesting import mapped
from lightning_topolip.network.samples import is_column


class _Column(tuple[Any, ...]):
    """Values that are not one tensor, one per sample."""

    __slots__ = ()


def with_columns(batch: Any, samples: int) -> Any:
    """Mark the lists and tuples that hold one value per sample, such as texts, file names or images of many sizes."""

    def column(values: Any) -> Any:
        if isinstance(values, _Column):
            return values
        if len(values) == samples and (is_column(values) or not _holds_tensors(values)):
            return _Column(values)
        parts = [mapped(value, (list, tuple), column) for value in values]
        return type(values)(*parts) if hasattr(values, "_fields") else type(values)(parts)

    return mapped(batch, (list, tuple), column)


def shapes(batch: Any) -> tuple[Any, ...]:
    """The shapes of one sample in every tensor of a batch; None for a column."""
    return tuple(rows.shape[1:] if isinstance(rows, Tensor) else None for rows in _rows(batch))


def joined(parts: Sequence[Any], counts: Sequence[int]) -> Any:
    """Join the values with one row per sample; the others are those of the first part.

    Args:
        parts: Batches with their columns marked.
        counts: The number of samples of each.
    """
    values = [
        _concatenated(rows) if [_length(row) for row in rows] == list(counts) else rows[0]
        for rows in zip(*map(_rows, parts), strict=True)
    ]
    following = iter(values)
    return mapped(parts[0], (Tensor, _Column), lambda _: next(following))


def cut(batch: Any, samples: int, size: int) -> Any:
    """Keep the first ``size`` rows of the values with one row for each of ``samples``; columns become lists again."""

    def first(rows: Any) -> Any:
        kept = _between(rows, samples, 0, size)
        return kept.clone() if isinstance(kept, Tensor) and kept is not rows else kept

    return mapped(batch, (Tensor, _Column), first)


def part_of(batch: Any, samples: int, start: int, stop: int) -> Any:
    """Select some samples of a batch: views of the tensors with one row per sample, lists of the columns."""
    return mapped(with_columns(batch, samples), (Tensor, _Column), lambda rows: _between(rows, samples, start, stop))


def _between(rows: Tensor | _Column, samples: int, start: int, stop: int) -> Tensor | list[Any]:
    if isinstance(rows, _Column):
        return list(rows[start:stop])
    return rows[start:stop] if _length(rows) == samples else rows


def _rows(batch: Any) -> list[Tensor | _Column]:
    rows: list[Tensor | _Column] = []

    def add(values: Any) -> Any:
        rows.append(values)
        return values

    mapped(batch, (Tensor, _Column), add)
    return rows


def _length(rows: Tensor | _Column) -> int:
    return len(rows) if isinstance(rows, _Column) or rows.ndim else -1


def _holds_tensors(values: Any) -> bool:
    return any(isinstance(rows, Tensor) for rows in _rows(values))


def _concatenated(rows: Sequence[Tensor | _Column]) -> Tensor | _Column:
    tensors = [row for row in rows if isinstance(row, Tensor)]
    return torch.cat(tensors) if tensors else _Column(itertools.chain.from_iterable(rows))
