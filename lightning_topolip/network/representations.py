"""What a module puts out for each sample: which tensor of its output, and which axis of it holds the samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


class SequenceFirstBatchError(ValueError):
    """The samples of the batch are not on its first axis."""


def representation(module: nn.Module, output: Any, samples: int, mixed: bool = False) -> Tensor:
    """Find the representation in what a module gives, samples first.

    It is the first floating-point tensor with one row for each sample. Recurrent and attention modules of
    `torch.nn` with ``batch_first=False`` have their samples on the second axis. Packed sequences are padded with zeros;
    quantised tensors are dequantised.

    Args:
        module: What ran.
        output: What it gave: a tensor, or tuples, lists, mappings and data classes of such in any depth.
        samples: Number n of samples.
        mixed: Whether the network holds such modules, see `holds_sequence_first`. Then a tensor with three axes of any
            other module has its samples where the length is n, first or second.

    Returns:
        Tensor of shape ``(n, ...)``, a view where it can be.

    Raises:
        ValueError: If there is none, or if ``mixed`` leaves open which axis it is; the message says why.
        SequenceFirstBatchError: If a module with ``batch_first=False`` shows that the batch has another number of
            samples and that n is the length of its sequences.

    Example:
        >>> import torch
        >>> representation(nn.Identity(), (torch.zeros(40, 3), torch.zeros(8, 5, 3)), samples=8).shape
        torch.Size([8, 5, 3])
        >>> lstm = nn.LSTM(3, 4)
        >>> representation(lstm, lstm(torch.zeros(5, 8, 3)), samples=8).shape
        torch.Size([8, 5, 4])
    """
    first = batch_first(module)
    floating = [tensor for tensor in tensors_in(output, first is not False) if tensor.is_floating_point()]
    if not floating:
        raise ValueError("its output holds no floating-point tensor; it is left out")
    for tensor in floating:
        axis = _sample_axis(tensor, samples, first, mixed)
        if axis is not None:
            return tensor.movedim(axis, 0)
    shape, rows = tuple(floating[0].shape), "column" if first is False else "row"
    raise ValueError(f"its output has shape {shape}, not one {rows} for each of {samples} samples; it is left out")


def tensors_in(value: Any, padded_batch_first: bool = True) -> Iterator[Tensor]:
    """Go through the tensors of what a module takes or gives, depth first in their own order.

    Args:
        value: A tensor, or tuples, lists, mappings and data classes of such in any depth.
        padded_batch_first: Whether packed sequences become ``(n, T, ...)`` or ``(T, n, ...)``.

    Yields:
        Tensors; quantised ones dequantised, packed sequences padded with zeros.
    """
    if isinstance(value, PackedSequence):
        yield pad_packed_sequence(value, batch_first=padded_batch_first)[0]
    elif isinstance(value, Tensor):
        yield value.dequantize() if value.is_quantized else value
    else:
        for part in _parts(value):
            yield from tensors_in(part, padded_batch_first)


def batch_first(module: nn.Module) -> bool | None:
    """Tell whether a recurrent or attention module of `torch.nn` has its samples first.

    Args:
        module: Any module.

    Returns:
        Its flag; None for other modules.

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
    """Tell whether a network holds modules whose samples are on the second axis.

    Args:
        model: The network.

    Returns:
        Whether it does.
    """
    return any(batch_first(module) is False for module in model.modules())


def with_channels_in_place(module: nn.Module, tensor: Tensor) -> Tensor:
    """Move the channels to where `point_cloud` reads them: last for ``(n, T, D)``, second for ``(n, C, H, W)``.

    They are elsewhere in blocks that keep them last, such as Swin's ``(n, H, W, C)``, and in one-dimensional
    convolutions, ``(n, C, L)``. The channels are the axis as long as the last layer of the module is wide; where that
    leaves it open, nothing is moved.

    Args:
        module: What ran.
        tensor: Its representation, shape ``(n, ...)``.

    Returns:
        A view.

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
                f"its output has shape {tuple(lengths)}, and either axis could be that of the {samples} samples, since "
                "the model holds modules with batch_first=False; take another number of samples"
            )
        return 1
    return 0 if tensor.ndim and lengths[0] == samples else None


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (tuple, list)):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in fields(value)]
    return []
