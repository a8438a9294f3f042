"""The largest singular value of a matrix or of a map, exact or from above."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def spectral_norm(matrices: Tensor) -> float:
    """Compute the largest singular value of a matrix, or of all matrices of a stack.

    Args:
        matrices: Shape ``(..., rows, columns)``, real or complex.

    Returns:
        The square root of the largest eigenvalue of the smaller Gram matrix, in float64; 0 for an empty stack.

    Example:
        >>> import torch
        >>> spectral_norm(torch.tensor([[3.0, 0.0], [0.0, -4.0]]))
        4.0
    """
    exact = in_float64(matrices)
    peak = float(exact.abs().max()) if exact.numel() else 0.0
    if peak == 0.0 or not math.isfinite(peak):
        return peak
    exact = exact / peak
    gram = exact.mH @ exact if exact.shape[-1] <= exact.shape[-2] else exact @ exact.mH
    return peak * math.sqrt(float(torch.linalg.eigvalsh(gram)[..., -1].max()))


def nonnegative_norm(
    function: Callable[[Tensor], Tensor], shape: Sequence[int], device: torch.device | str = "cpu"
) -> float:
    """Bound the norm of a linear (or affine) map without negative coefficients, such as a pooling or a padding.

    ``|A|_2^2 <= (largest sum of a row) * (largest sum of a column)`` (Schur's test), both from one forward and one
    backward pass. Exact for means, sums, copies and selections of entries.

    Args:
        function: The map.
        shape: Shape of its input.
        device: Where to run it; the CPU for a device without float64.

    Returns:
        A number not below the operator norm; 0 for an empty result.

    Example:
        >>> import torch
        >>> nonnegative_norm(lambda image: torch.nn.functional.avg_pool2d(image, 2), (1, 1, 4, 4))
        0.5
    """
    with torch.inference_mode(False), torch.enable_grad():
        place = "cpu" if torch.device(device).type == "mps" else device
        ones = torch.ones(tuple(shape), dtype=torch.float64, device=place, requires_grad=True)
        image = function(ones)
        (columns,) = torch.autograd.grad(image.sum(), ones)
        offset = function(torch.zeros_like(ones))
    if not image.numel():
        return 0.0
    rows = torch.where(offset.isinf(), 0.0, image - offset)
    return math.sqrt(float(rows.detach().max()) * float(columns.max()))


def in_float64(tensor: Tensor) -> Tensor:
    """Give a tensor in double precision without its graph, on the CPU where the device has no float64.

    Args:
        tensor: Any real or complex tensor.

    Returns:
        float64, or complex128.
    """
    tensor = tensor.detach()
    tensor = tensor.cpu() if tensor.device.type == "mps" else tensor
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def largest_entry(values: Tensor | float | None) -> float:
    """Take the largest absolute entry.

    Args:
        values: A tensor, a number, or None for a weight that is not there.

    Returns:
        The norm of the multiplication by these values: 1 for None.
    """
    if values is None:
        return 1.0
    return float(in_float64(values).abs().max()) if isinstance(values, Tensor) else abs(values)
