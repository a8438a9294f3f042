"""The representation of a layer: which tensor of its output, and which of its axes holds the samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lightning_topolip.network.layouts import dense
from lightning_topolip.network.nesting import DEEPEST, mapped, parts
from lightning_topolip.network.ragged import Padded, padded


class SequenceFirstBatchError(ValueError):
    """The samples of the batch are not on its first axis."""


class Representation(NamedTuple):
    """Where an output holds one row per sample.

    Attributes:
        tensor: A tensor of the output.
        axis: Its axis of the samples.
        real: Which positions of ``(n, T, ...)`` are real, if the output itself tells: packed sequences, nested tensors.
    """

    tensor: Tensor
    axis: int
    real: Tensor | None = None

    @property
    def rows(self) -> Tensor:
        """The tensor, samples first, shape ``(n, ...)``; a view."""
        return self.tensor.movedim(self.axis, 0) if self.axis else self.tensor

    def replaced_in(self, output: Any, rows: Tensor) -> Any:
        """Return a copy of the output with other rows in place of these; it shares no memory with the output."""
        return with_tensor_replaced(output, self.tensor, rows.movedim(0, self.axis) if self.axis else rows)


def find_representation(module: nn.Module, output: Any, samples: int, *, mixed: bool = False) -> Representation:
    """Find the representation in a module's output: the first tensor of numbers with one row per sample.

    Recurrent and attention modules of `torch.nn` with ``batch_first=False`` have their samples on the second axis.
    Packed sequences and nested tensors have theirs first, are padded with zeros, and tell which positions are real.
    Quantised, sparse and other tensors that are not strided are converted to dense ones, see `dense`. Complex tensors
    stay complex.

    Args:
        module: The module that ran.
        output: Its output: a tensor, or tuples, lists, mappings and data classes of such at any depth.
        samples: Number n of samples.
        mixed: Whether the network holds such modules, see `holds_sequence_first`. Then a tensor with three axes of any
            other module has its samples where the length is n, first or second.

    Raises:
        ValueError: If there is none, or if ``mixed`` leaves open which axis it is; the message says why.
        SequenceFirstBatchError: If a module with ``batch_first=False`` shows that the batch has another number of
            samples and that n is the length of its sequences.

    Example:
        >>> import torch
        >>> find_representation(nn.Identity(), (torch.zeros(40, 3), torch.zeros(8, 5, 3)), samples=8).rows.shape
        torch.Size([8, 5, 3])
        >>> lstm = nn.LSTM(3, 4)
        >>> find_representation(lstm, lstm(torch.zeros(5, 8, 3)), samples=8).rows.shape
        torch.Size([8, 5, 4])
    """
    numbers = [held for held in _padded_in(output) if _holds_numbers(held.tensor)]
    if not numbers:
        raise ValueError("its output holds no floating-point tensor; it is skipped")
    first = batch_first(module)
    for tensor, real in numbers:
        axis = _sample_axis(tensor, samples, first, mixed) if real is None else _first_axis(tensor, samples)
        if axis is not None:
            return Representation(dense(tensor), axis, real)
    tensor, real = numbers[0]
    shape, rows = tuple(tensor.shape), "column" if first is False and real is None else "row"
    raise ValueError(f"its output has shape {shape}, not one {rows} for each of {samples} samples; it is skipped")


def input_rows(inputs: Any, samples: int) -> Tensor | None:
    """Find the rows of a network's input: its first tensor, if that holds real or complex numbers, one row per sample.

    Args:
        inputs: What the network's ``forward`` takes: tensors in any nesting.
        samples: Number n of samples.

    Returns:
        A dense tensor of shape ``(n, ...)``, or None, as for token ids.
    """
    tensor = next(tensors_in(inputs), None)
    if tensor is None or not _holds_numbers(tensor) or tensor.ndim < 1 or tensor.size(0) != samples:
        return None
    try:
        return dense(tensor)
    except ValueError:
        return None


def first_floating_tensor(value: Any) -> Tensor | None:
    """Find the first floating-point tensor, in the order of `tensors_in`; None if there is none.

    Example:
        >>> import torch
        >>> first_floating_tensor({"ids": torch.tensor([1]), "states": (torch.zeros(1, 2), None)})
        tensor([[0., 0.]])
    """
    return next((tensor for tensor in tensors_in(value) if tensor.is_floating_point()), None)


def first_numbers(value: Any) -> Tensor | None:
    """As `first_floating_tensor`, complex tensors included."""
    return next((tensor for tensor in tensors_in(value) if _holds_numbers(tensor)), None)


def with_tensor_replaced(values: Any, old: Tensor | None, new: Tensor | None) -> Any:
    """Return a copy of tensors in any nesting with another tensor in place of one; no memory is shared."""

    def copy(tensor: Tensor) -> Tensor:
        return new if new is not None and tensor is old else tensor.clone()

    return mapped(values, Tensor, copy)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Iterate over the tensors in any nesting, in their order.

    Quantised tensors are dequantised; packed sequences and nested tensors are padded with zeros, to ``(n, T, ...)``.
    Sparse tensors stay sparse, see `dense`.
    """
    return (held.tensor for held in _padded_in(value))


def batch_first(module: nn.Module) -> bool | None:
    """Whether a recurrent or attention module of `torch.nn` has its samples first; None for other modules.

    Example:
        >>> batch_first(nn.LSTM(2, 2)), batch_first(nn.GRU(2, 2, batch_first=True)), batch_first(nn.Linear(2, 2))
        (False, True, None)
    """
    if isinstance(module, (nn.RNNBase, nn.MultiheadAttention, nn.Transformer)):
        return bool(module.batch_first)
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        return batch_first(module.self_attn)
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        return batch_first(module.layers[0])
    return None


def holds_sequence_first(model: nn.Module) -> bool:
    """Whether a network holds modules whose samples are on the second axis."""
    return any(batch_first(module) is False for module in model.modules())


def with_channels_in_place(module: nn.Module, tensor: Tensor) -> Tensor:
    """Move the channels to where `point_cloud` reads them: last for ``(n, T, D)``, second for ``(n, C, H, W)``.

    They are elsewhere in blocks that keep them last, such as Swin's ``(n, H, W, C)``, and in one-dimensional
    convolutions, ``(n, C, L)``. The channels are the axis as long as the last layer of the module is wide; if that
    is ambiguous, nothing is moved. Returns a view.

    Example:
        >>> import torch
        >>> with_channels_in_place(nn.Linear(3, 96), torch.zeros(8, 7, 7, 96)).shape
        torch.Size([8, 96, 7, 7])
    """
    if tensor.ndim < 3:
        return tensor
    expected, other = (-1, 1) if tensor.ndim == 3 else (1, -1)
    width = _width(module)
    moved = tensor.shape[other] == width != tensor.shape[expected]
    return tensor.movedim(other, expected) if moved else tensor


def _padded_in(value: Any, deepest: int = DEEPEST) -> Iterator[Padded]:
    if isinstance(value, (PackedSequence, Tensor)):
        yield padded(value)
    elif deepest:
        for part in parts(value):
            yield from _padded_in(part, deepest - 1)


def _holds_numbers(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _width(module: nn.Module) -> int | None:
    widths = (getattr(part, "out_features", getattr(part, "out_channels", None)) for part in module.modules())
    return next((width for width in reversed(list(widths)) if isinstance(width, int)), None)


def _sample_axis(tensor: Tensor, samples: int, first: bool | None, mixed: bool) -> int | None:
    lengths = tensor.shape
    if first is False:
        if tensor.ndim == 3 and lengths[0] == samples != lengths[1]:
            raise SequenceFirstBatchError(
                f"Argument `batch` must have its samples first, got sequences of length {samples} first and "
                f"{lengths[1]} samples second, as a module with batch_first=False shows; give a transposed batch and "
                "forward_fn=lambda model, batch: model(batch.transpose(0, 1))."
            )
        return 1 if tensor.ndim == 3 and lengths[1] == samples else None
    if first is None and mixed and tensor.ndim == 3 and lengths[1] == samples:
        if lengths[0] == samples:
            raise ValueError(
                f"its output has shape {tuple(lengths)}, and either axis could be that of the {samples} samples, as "
                "the model holds modules with batch_first=False; take another number of samples"
            )
        return 1
    return _first_axis(tensor, samples)


def _first_axis(tensor: Tensor, samples: int) -> int | None:
    return 0 if tensor.ndim and tensor.shape[0] == samples else None
