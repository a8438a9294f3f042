"""The reductions of a layer's output to a point cloud with one point per sample."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_topolip.topology.settings import REDUCTIONS, Reduction


def point_cloud(output: Tensor, reduction: Reduction = "flatten") -> Tensor:
    """Reduce a layer's output to a point cloud with one point per sample.

    Args:
        output: Output of a layer, shape ``(n, ...)``, n samples first.
        reduction: The reduction of the positions of a sample:

            - ``"flatten"``: every entry is a coordinate, ``(n, ...) -> (n, d)``
            - ``"mean"``: the mean over all positions, spatial for ``(n, C, H, W)`` and ``(n, C, H)`` read as
              tokens ``(n, T, D)``: ``(n, C, H, W) -> (n, C)``, ``(n, T, D) -> (n, D)``, ``(n, D) -> (n, D)``. An
              analysis of a model moves the channels there first, see `with_channels_in_place`
            - ``"cls"``: token 0, ``(n, T, D) -> (n, D)``

    Returns:
        The cloud, shape ``(n, d)``; a view of ``output`` if its memory layout allows. A complex coordinate is two real
        ones, its real and its imaginary part, so that distances are those of the complex vectors.

    Raises:
        ValueError: If the reduction is unknown or does not fit the shape of ``output``.

    Example:
        >>> import torch
        >>> point_cloud(torch.zeros(8, 16, 4, 4)).shape
        torch.Size([8, 256])
        >>> point_cloud(torch.zeros(8, 16, 4, 4), "mean").shape
        torch.Size([8, 16])
        >>> point_cloud(torch.zeros(8, 65, 32), "cls").shape
        torch.Size([8, 32])
        >>> point_cloud(torch.zeros(8, 65, 32, dtype=torch.complex64), "cls").shape
        torch.Size([8, 64])
    """
    cloud = _reduced(output, reduction)
    return torch.view_as_real(cloud.resolve_conj()).flatten(1) if cloud.is_complex() else cloud


def _reduced(output: Tensor, reduction: Reduction) -> Tensor:
    if output.ndim < 1:
        raise ValueError("Argument `output` must have one row per sample, shape (n, ...), got a scalar.")
    if reduction == "flatten":
        return output.reshape(len(output), -1)
    if reduction == "mean":
        return _mean_over_positions(output)
    if reduction == "cls":
        if output.ndim != 3:
            raise ValueError(
                f"Argument `output` must hold tokens of shape (n, T, D) for reduction='cls', got "
                f"{tuple(output.shape)}; use 'flatten' or 'mean' for this layer."
            )
        return output[:, 0]
    raise ValueError(f"Argument `reduction` must be one of {REDUCTIONS}, got {reduction!r}.")


def _mean_over_positions(output: Tensor) -> Tensor:
    if output.ndim <= 2:
        return output.reshape(len(output), -1)
    positions = (1,) if output.ndim == 3 else tuple(range(2, output.ndim))
    return output.mean(dim=positions)
