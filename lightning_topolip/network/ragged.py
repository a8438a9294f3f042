"""Sequences of different lengths, packed or nested: padded with zeros, and which positions are real."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from lightning_topolip.network.layouts import dense


class Padded(NamedTuple):
    """A tensor that may have been padded.

    Attributes:
        tensor: The tensor; of sequences with their samples first, shape ``(n, T, ...)``, and zeros as padding.
        real: Which positions were there before, boolean of shape ``(n, T)``; None for anything but sequences.
    """

    tensor: Tensor
    real: Tensor | None


def padded(value: PackedSequence | Tensor) -> Padded:
    """Pad packed sequences and nested tensors, and dequantise; any other tensor stays as it is.

    Example:
        >>> packed = torch.nn.utils.rnn.pack_sequence([torch.ones(1), torch.ones(2)], enforce_sorted=False)
        >>> padded(packed).real
        tensor([[ True, False],
                [ True,  True]])
    """
    if isinstance(value, PackedSequence):
        tensor, lengths = pad_packed_sequence(value, batch_first=True)
        return Padded(tensor, up_to(lengths.to(tensor.device), tensor.size(1)))
    if value.is_nested:
        return Padded(dense(value), _real_in_nested(value))
    return Padded(dense(value) if value.is_quantized else value, None)


def up_to(lengths: Tensor, positions: int) -> Tensor:
    """The positions before the lengths, boolean of shape ``(n, positions)``.

    Example:
        >>> up_to(torch.tensor([2, 1]), 3)
        tensor([[ True,  True, False],
                [ True, False, False]])
    """
    return torch.arange(positions, device=lengths.device) < lengths[:, None]


def _real_in_nested(value: Tensor) -> Tensor | None:
    """Only of rows that differ in the length of their first axis alone, so that they are sequences."""
    shapes = [row.shape for row in value.unbind()]
    if len({shape[1:] for shape in shapes}) != 1 or not shapes[0]:
        return None
    lengths = [shape[0] for shape in shapes]
    return up_to(torch.tensor(lengths, device=value.device), max(lengths))
