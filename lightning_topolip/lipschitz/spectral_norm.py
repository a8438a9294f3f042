"""The largest singular value of a matrix (exact) or of a map (upper bound)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def spectral_norm(matrices: Tensor) -> float:
    """Compute the largest singular value of a matrix or of a stack, from the smaller Gram matrix; 0 for an empty stack.

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

    ``|A|_2^2 <= (largest row sum) * (largest column sum)`` (Schur's test), from one forward and one backward pass.
    Exact for means, sums, copies and selections of entries.

    Example:
        >>> import torch
        >>> nonnegative_norm(lambda image: torch.nn.functional.avg_pool2d(image, 2), (1, 1, 4, 4))
        0.5
    """
    with torch.inference_mode(False), torch.enable_grad():
        device = "cpu" if torch.device(device).type == "mps" else device  # no float64 there
        ones = torch.ones(tuple(shape), dtype=torch.float64, device=device, requires_grad=True)
        image = function(ones)
        (columns,) = torch.autograd.grad(image.sum(), ones)
        offset = function(torch.zeros_like(ones))
    if not image.numel():
        return 0.0
    rows = torch.where(offset.isinf(), 0.0, image - offset)
    return math.sqrt(float(rows.detach().max()) * float(columns.max()))


def in_float64(tensor: Tensor) -> Tensor:
    """Detach a tensor and cast it to float64 or complex128, on the CPU if the device has no float64."""
    tensor = tensor.detach()
    tensor = tensor.cpu() if tensor.device.type == "mps" else tensor
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def largest_entry(values: Tensor | float | None) -> float:
    """The largest absolute entry, which is the norm of multiplication by the values; 1 for None, a missing weight."""
    if values is None:
        return 1.0
    return float(in_float64(values).abs().max()) if isinstance(values, Tensor) else abs(values)
