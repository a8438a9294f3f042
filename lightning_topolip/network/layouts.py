"""Tensors of any layout: nested, sparse, MKL-DNN and quantised ones, as dense ones and compared."""

from __future__ import annotations

import torch
from torch import Tensor

_SPARSE_ROWS, _SPARSE_COLUMNS = (torch.sparse_csr, torch.sparse_bsr), (torch.sparse_csc, torch.sparse_bsc)
_SPARSE = (torch.sparse_coo, *_SPARSE_ROWS, *_SPARSE_COLUMNS)


def dense(tensor: Tensor) -> Tensor:
    """Return the tensor as a strided one with the same numbers: sparse of any layout, MKL-DNN, quantised or nested.

    The rows of a nested tensor are padded with zeros to the longest. A strided tensor is returned as it is.

    Raises:
        ValueError: If torch has no such conversion, or the tensor is on the meta device and has no numbers.

    Example:
        >>> dense(torch.eye(2).to_sparse())
        tensor([[1., 0.],
                [0., 1.]])
        >>> dense(torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged))
        tensor([[1., 0.],
                [1., 1.]])
    """
    if tensor.is_meta:
        raise ValueError("its output is on the meta device and has no numbers; it is skipped")
    try:
        if tensor.is_quantized:
            return tensor.dequantize()
        if tensor.is_nested:
            padded: Tensor = torch.nested.to_padded_tensor(tensor, 0.0)
            return padded
        return tensor if tensor.layout is torch.strided else tensor.to_dense()
    except RuntimeError as error:
        raise ValueError(f"its output of layout {tensor.layout} has no dense form ({error}); it is skipped") from error


def restore(tensor: Tensor, content: Tensor) -> None:
    """Write a copy back into a tensor of any layout, unless it still holds the same numbers.

    Example:
        >>> tensor = torch.eye(2).to_sparse()
        >>> copy = tensor.clone()
        >>> _ = tensor.mul_(3)
        >>> restore(tensor, copy)
        >>> tensor.to_dense().sum()
        tensor(2.)
    """
    now, before = _parts(tensor), _parts(content)
    if len(now) == len(before) and all(map(_equal, now, before)):
        return
    if tensor.layout in _SPARSE and len(now[-1]) != len(before[-1]):
        tensor.resize_as_sparse_(content)
    elif tensor.layout is torch.strided and not tensor.is_nested and tensor.shape != content.shape:
        tensor.resize_(content.shape)
    tensor.copy_(content)


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)


def _parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """The strided tensors that hold the numbers and their places."""
    if tensor.is_nested:
        return tuple(tensor.unbind())
    if tensor.layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in _SPARSE_ROWS:
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in _SPARSE_COLUMNS:
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor if tensor.layout is torch.strided else tensor.to_dense(),)
