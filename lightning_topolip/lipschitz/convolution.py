"""The operator norm of a convolution on its actual input shape: exact for small ones, otherwise an upper bound."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_topolip.lipschitz.bound_arithmetic import largest
from lightning_topolip.lipschitz.spectral_norm import in_float64, spectral_norm

_DENSE_INPUTS = 1024
_DENSE_ENTRIES = 2**22
_FINEST_GRID = 64
_GRID_BY_REACH = 16
_CHUNK_ENTRIES = 2**22


def convolution_norm(
    weight: Tensor,
    positions: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> float:
    """Bound the norm of a zero-padded convolution on an input of the given positions (height, width, ...) from above.

    A small convolution is written out as a matrix, so its norm is exact. A larger one is part of a convolution on a
    torus: the input is embedded in a torus as large as the padded input, and only some outputs are kept; neither
    increases the norm. A stride s splits the positions into blocks of s, and the offsets in a block become channels.
    So the norm is at most the largest spectral norm of the symbol, the Fourier transform of the kernel at the
    frequencies of the torus (Sedghi, Gupta, Long, arXiv 1805.10408).

    On a torus of more than 64 blocks, the symbol is evaluated at only M = 64 frequencies. ``|u* symbol v|^2`` is a
    trigonometric polynomial of degree r, the reach of the kernel in blocks, and such a polynomial is at least
    ``cos(r t)`` times its maximum within a distance t of it (M. Riesz's lemma). No point is more than ``pi / M`` from a
    frequency, so the maximum over the frequencies, divided by ``sqrt(cos(pi r / M))`` for each dimension, is a bound.

    Example:
        >>> import torch
        >>> kernel = torch.ones(1, 1, 3, 3)
        >>> round(convolution_norm(kernel, (8, 8), padding=1), 4)
        8.2909
        >>> 8.9 < convolution_norm(kernel, (100, 100), padding=1) < 9.1
        True
    """
    kernel = weight.shape[2:]
    strides, dilations = _per_dimension(stride, kernel), _per_dimension(dilation, kernel)
    reach = [gap * (size - 1) for gap, size in zip(dilations, kernel, strict=True)]
    padded = [size + pad for size, pad in zip(positions, _total_padding(padding, reach, kernel), strict=True)]
    outputs = [(size - far - 1) // step + 1 for size, far, step in zip(padded, reach, strides, strict=True)]
    if min(outputs) < 1:
        raise ValueError(
            f"Argument `positions` must be large enough for the kernel, got {tuple(positions)} for a reach of "
            f"{tuple(reach)}; use a larger input or more padding."
        )
    inputs = weight.shape[1] * groups * math.prod(positions)
    if inputs <= _DENSE_INPUTS and inputs * weight.shape[0] * math.prod(outputs) <= _DENSE_ENTRIES:
        return _dense_norm(weight, positions, strides, padding, dilations, groups)
    blocks = [
        math.ceil(((count - 1) * step + far + 1) / step)
        for count, step, far in zip(outputs, strides, reach, strict=True)
    ]
    return _symbol_norm(in_float64(weight), blocks, strides, dilations, groups)


def transposed_convolution_norm(
    weight: Tensor,
    positions: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> float:
    """Bound the norm of a transposed convolution: that of the convolution of which it is the adjoint.

    Example:
        >>> import torch
        >>> transposed_convolution_norm(torch.ones(1, 1, 2), (5,), stride=2) == math.sqrt(2)
        True
    """
    kernel = weight.shape[2:]
    sizes = zip(
        positions,
        _per_dimension(stride, kernel),
        _per_dimension(padding, kernel),
        _per_dimension(dilation, kernel),
        kernel,
        _per_dimension(output_padding, kernel),
        strict=True,
    )
    outputs = [(n - 1) * step - 2 * pad + gap * (size - 1) + extra + 1 for n, step, pad, gap, size, extra in sizes]
    return convolution_norm(weight, outputs, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _dense_norm(
    weight: Tensor,
    positions: Sequence[int],
    stride: Sequence[int],
    padding: str | int | Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> float:
    """The exact norm, from the convolution written out as a matrix."""
    channels = weight.shape[1] * groups
    convolution = (F.conv1d, F.conv2d, F.conv3d)[len(positions) - 1]
    basis = torch.eye(channels * math.prod(positions), dtype=torch.float64).reshape(-1, channels, *positions)
    kernel = in_float64(weight).cpu()
    columns = convolution(basis, kernel, None, tuple(stride), padding, tuple(dilation), groups)
    return spectral_norm(columns.flatten(1))


def _symbol_norm(
    weight: Tensor, blocks: Sequence[int], stride: Sequence[int], dilation: Sequence[int], groups: int
) -> float:
    """The bound on a torus of ``blocks``: the largest norm of the symbol, corrected for the frequencies left out."""
    taps, degrees = _taps_by_block(weight, stride, dilation, groups)
    slack, waves = 1.0, []
    for axis, (size, degree) in enumerate(zip(blocks, degrees, strict=True)):
        grid = min(size, max(_FINEST_GRID, _GRID_BY_REACH * degree))
        slack *= 1.0 if grid == size else math.sqrt(math.cos(math.pi * degree / grid))
        frequencies = torch.arange(grid // 2 + 1 if axis == 0 else grid, dtype=torch.float64)  # others are conjugate
        phases = torch.outer(frequencies, torch.arange(degree + 1, dtype=torch.float64)) * (-2 * math.pi / grid)
        waves.append(torch.polar(torch.ones_like(phases), phases))
    matrices, shape = taps.flatten(3).movedim(-1, 0), taps.shape[:3]
    norms: list[float] = []
    modes = list(itertools.product(*[range(len(wave)) for wave in waves]))
    size = max(1, _CHUNK_ENTRIES // math.prod(shape))
    for start in range(0, len(modes), size):
        chunk = np.array(modes[start : start + size])
        factor = torch.ones(len(chunk), 1, dtype=torch.complex128)
        for wave, index in zip(waves, chunk.T, strict=True):
            factor = (factor[:, :, None] * wave[index][:, None, :]).flatten(1)
        symbols = factor.to(matrices.device) @ matrices.flatten(1).to(torch.complex128)
        norms.append(spectral_norm(symbols.reshape(-1, *shape)))
    return largest(norms) / slack


def _taps_by_block(
    weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int
) -> tuple[Tensor, list[int]]:
    """The kernel, shape ``(groups, out, in * offsets in a block, *blocks)``, and its reach in blocks."""
    kernel = weight.shape[2:]
    degrees = [gap * (size - 1) // step for gap, size, step in zip(dilation, kernel, stride, strict=True)]
    grouped = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    taps = grouped.new_zeros(*grouped.shape[:3], *stride, *[degree + 1 for degree in degrees])
    for entry in itertools.product(*map(range, kernel)):
        positions = [gap * index for gap, index in zip(dilation, entry, strict=True)]
        offsets = [position % step for position, step in zip(positions, stride, strict=True)]
        blocks = [position // step for position, step in zip(positions, stride, strict=True)]
        target: tuple[Any, ...] = (..., *offsets, *blocks)
        source: tuple[Any, ...] = (..., *entry)
        taps[target] = grouped[source]
    return taps.flatten(2, 2 + len(stride)), degrees


def _per_dimension(value: int | Sequence[int], kernel: Sequence[int]) -> list[int]:
    entries = [value] if isinstance(value, int) else [int(entry) for entry in value]
    return entries * (len(kernel) if len(entries) == 1 else 1)


def _total_padding(padding: str | int | Sequence[int], reach: Sequence[int], kernel: Sequence[int]) -> list[int]:
    if isinstance(padding, str):
        return list(reach) if padding == "same" else [0] * len(kernel)
    return [2 * size for size in _per_dimension(padding, kernel)]
