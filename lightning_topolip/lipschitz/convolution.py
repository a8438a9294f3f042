"""The operator norm of a convolution on its real input shape: exact if small, else never below."""

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
    """Bound the norm of a zero-padded convolution on an input of given size from above.

    A small one is written out as a matrix and is exact. A larger one is a part of a convolution on a torus: the input,
    zeros around it, is embedded in a torus as large as the padded input, and of its outputs some are kept; neither
    adds to the norm. A stride s splits positions into blocks of s with the offsets in a block as further channels. So
    the norm is at most the largest spectral norm of the symbol, the Fourier transform of the kernel at the torus's
    frequencies (Sedghi, Gupta, Long, arXiv 1805.10408).

    On a torus of more than 64 blocks the symbol is taken at M = 64 frequencies instead. ``|u* symbol v|^2`` is a
    trigonometric polynomial of degree r, the kernel's reach in blocks, and such a polynomial stays above ``cos(r t)``
    times its maximum within t of it (M. Riesz's lemma). No point is farther than ``pi / M`` from a frequency, so the
    maximum over the frequencies divided by ``sqrt(cos(pi r / M))`` for each dimension is a bound.

    Args:
        weight: Kernel, shape ``(out_channels, in_channels / groups, *kernel)``.
        positions: Height, width and so on of the input.
        stride: Stride, one number or one a dimension.
        padding: Zeros on both sides, ``"same"`` or ``"valid"``.
        dilation: Step between the kernel's entries.
        groups: Groups of channels that do not mix.

    Returns:
        A number not below the operator norm.

    Raises:
        ValueError: If the kernel does not fit into the padded input.

    Example:
        >>> import torch
        >>> kernel = torch.ones(1, 1, 3, 3)
        >>> round(convolution_norm(kernel, (8, 8), padding=1), 4)
        8.2909
        >>> 8.9 < convolution_norm(kernel, (100, 100), padding=1) < 9.1
        True
    """
    kernel = weight.shape[2:]
    steps, holes = _each(stride, kernel), _each(dilation, kernel)
    reach = [hole * (size - 1) for hole, size in zip(holes, kernel, strict=True)]
    padded = [size + more for size, more in zip(positions, _total_padding(padding, reach, kernel), strict=True)]
    outputs = [(size - far - 1) // step + 1 for size, far, step in zip(padded, reach, steps, strict=True)]
    if min(outputs) < 1:
        raise ValueError(
            f"Argument `positions` must hold the kernel, got {tuple(positions)} for a reach of {tuple(reach)}; "
            "give a larger input or more padding."
        )
    inputs = weight.shape[1] * groups * math.prod(positions)
    if inputs <= _DENSE_INPUTS and inputs * weight.shape[0] * math.prod(outputs) <= _DENSE_ENTRIES:
        return _dense_norm(weight, positions, steps, padding, holes, groups)
    blocks = [
        math.ceil(((count - 1) * step + far + 1) / step) for count, step, far in zip(outputs, steps, reach, strict=True)
    ]
    return _symbol_norm(in_float64(weight), blocks, steps, holes, groups)


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

    Args:
        weight: Kernel, shape ``(in_channels, out_channels / groups, *kernel)``.
        positions: Height, width and so on of the input.
        stride: Stride of the adjoint.
        padding: Padding of the adjoint.
        output_padding: Positions added on one side of the output.
        dilation: Step between the kernel's entries.
        groups: Groups of channels that do not mix.

    Returns:
        A number not below the operator norm.

    Example:
        >>> import torch
        >>> transposed_convolution_norm(torch.ones(1, 1, 2), (5,), stride=2) == math.sqrt(2)
        True
    """
    kernel = weight.shape[2:]
    sizes = zip(
        positions,
        _each(stride, kernel),
        _each(padding, kernel),
        _each(dilation, kernel),
        kernel,
        _each(output_padding, kernel),
        strict=True,
    )
    outputs = [(n - 1) * step - 2 * pad + hole * (size - 1) + more + 1 for n, step, pad, hole, size, more in sizes]
    return convolution_norm(weight, outputs, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _dense_norm(
    weight: Tensor,
    positions: Sequence[int],
    stride: Sequence[int],
    padding: str | int | Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> float:
    channels = weight.shape[1] * groups
    convolution = (F.conv1d, F.conv2d, F.conv3d)[len(positions) - 1]
    basis = torch.eye(channels * math.prod(positions), dtype=torch.float64).reshape(-1, channels, *positions)
    exact = in_float64(weight).cpu()
    columns = convolution(basis, exact, None, tuple(stride), padding, tuple(dilation), groups)
    return spectral_norm(columns.flatten(1))


def _symbol_norm(
    weight: Tensor, blocks: Sequence[int], stride: Sequence[int], dilation: Sequence[int], groups: int
) -> float:
    taps, degrees = _taps_by_block(weight, stride, dilation, groups)
    slack, waves = 1.0, []
    for axis, (size, degree) in enumerate(zip(blocks, degrees, strict=True)):
        grid = min(size, max(_FINEST_GRID, _GRID_BY_REACH * degree))
        slack *= 1.0 if grid == size else math.sqrt(math.cos(math.pi * degree / grid))
        frequencies = torch.arange(grid // 2 + 1 if axis == 0 else grid, dtype=torch.float64)  # the rest is conjugate
        phases = torch.outer(frequencies, torch.arange(degree + 1, dtype=torch.float64)) * (-2 * math.pi / grid)
        waves.append(torch.polar(torch.ones_like(phases), phases))
    matrices, shape = taps.flatten(3).movedim(-1, 0), taps.shape[:3]
    norms: list[float] = []
    modes = list(itertools.product(*[range(len(wave)) for wave in waves]))
    size = max(1, _CHUNK_ENTRIES // math.prod(shape))
    for start in range(0, len(modes), size):
        chosen = np.array(modes[start : start + size])
        factor = torch.ones(len(chosen), 1, dtype=torch.complex128)
        for wave, index in zip(waves, chosen.T, strict=True):
            factor = (factor[:, :, None] * wave[index][:, None, :]).flatten(1)
        symbols = factor.to(matrices.device) @ matrices.flatten(1).to(torch.complex128)
        norms.append(spectral_norm(symbols.reshape(-1, *shape)))
    return largest(norms) / slack


def _taps_by_block(
    weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int
) -> tuple[Tensor, list[int]]:
    """The kernel, (groups, out, in * offsets in a block, *blocks), and its reach in blocks."""
    kernel = weight.shape[2:]
    degrees = [hole * (size - 1) // step for hole, size, step in zip(dilation, kernel, stride, strict=True)]
    grouped = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    taps = grouped.new_zeros(*grouped.shape[:3], *stride, *[degree + 1 for degree in degrees])
    for entry in itertools.product(*map(range, kernel)):
        places = [hole * index for hole, index in zip(dilation, entry, strict=True)]
        offsets = [place % step for place, step in zip(places, stride, strict=True)]
        blocks = [place // step for place, step in zip(places, stride, strict=True)]
        to: tuple[Any, ...] = (..., *offsets, *blocks)
        taken: tuple[Any, ...] = (..., *entry)
        taps[to] = grouped[taken]
    return taps.flatten(2, 2 + len(stride)), degrees


def _each(value: int | Sequence[int], kernel: Sequence[int]) -> list[int]:
    return (
        [value] * len(kernel)
        if isinstance(value, int)
        else [int(entry) for entry in value] * (len(kernel) if len(value) == 1 else 1)
    )


def _total_padding(padding: str | int | Sequence[int], reach: Sequence[int], kernel: Sequence[int]) -> list[int]:
    if isinstance(padding, str):
        return list(reach) if padding == "same" else [0] * len(kernel)
    return [2 * size for size in _each(padding, kernel)]
