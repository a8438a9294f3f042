"""The reductions of a layer's output to a point cloud with one point per sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_topolip.network.positions import Positions, drawn_of, first_of, last_of
from lightning_topolip.network.sample_axis import Representation, with_channels_in_place
from lightning_topolip.topology.settings import REDUCTIONS, Reduction


def layer_cloud(
    module: nn.Module, representation: Representation, reduction: Reduction, positions: Positions | None = None
) -> Tensor:
    """Reduce the output of a module, see `point_cloud`: its channels are moved to where the reduction reads them."""
    rows, real = representation.rows, representation.real
    if real is not None:
        rows = rows.reshape(*real.shape, -1)
    elif reduction != "flatten":
        rows = with_channels_in_place(module, rows)
    return point_cloud(rows, reduction, positions, real)


def point_cloud(
    output: Tensor,
    reduction: Reduction = "flatten",
    positions: Positions | None = None,
    real: Tensor | None = None,
) -> Tensor:
    """Reduce a layer's output to a point cloud with one point per sample.

    Padded positions never count: those that ``real`` or the mask of ``positions`` leaves out.

    Args:
        output: Output of a layer, shape ``(n, ...)``, n samples first.
        reduction: The reduction of the positions of a sample:

            - ``"flatten"``: every entry is a coordinate, ``(n, ...) -> (n, d)``; 0 at padded positions
            - ``"mean"``: the mean over all positions, spatial for ``(n, C, H, W)`` and ``(n, C, H)`` read as
              tokens ``(n, T, D)``: ``(n, C, H, W) -> (n, C)``, ``(n, T, D) -> (n, D)``, ``(n, D) -> (n, D)``. An
              analysis of a model moves the channels there first, see `layer_cloud`
            - ``"cls"``: the first token, ``(n, T, D) -> (n, D)``, ``(n, D) -> (n, D)``
            - ``"last"``: the same of the last token, which has seen all others in a decoder
            - ``"token"``: the same of a random token of every sample, at one position in all layers
        positions: The positions of the samples; without them there is no ``"token"``.
        real: Which positions of tokens are real, shape ``(n, T)``, where the output itself tells.

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
    if output.ndim < 1:
        raise ValueError("Argument `output` must have one row per sample, shape (n, ...), got a scalar.")
    if reduction not in REDUCTIONS:
        raise ValueError(f"Argument `reduction` must be one of {REDUCTIONS}, got {reduction!r}.")
    real = positions.real_in(output, real) if positions else real
    if reduction == "flatten":
        cloud = (output if real is None else output.masked_fill(~real[..., None], 0)).reshape(len(output), -1)
    elif reduction == "mean":
        cloud = _mean_over_positions(output, real)
    else:
        cloud = _one_token(output, reduction, real, positions)
    return torch.view_as_real(cloud.resolve_conj()).flatten(1) if cloud.is_complex() else cloud


def _mean_over_positions(output: Tensor, real: Tensor | None) -> Tensor:
    if output.ndim <= 2:
        return output.reshape(len(output), -1)
    if real is not None:
        tokens = output.masked_fill(~real[..., None], 0)
        return tokens.sum(dim=1) / real.sum(dim=1, keepdim=True)
    positions = (1,) if output.ndim == 3 else tuple(range(2, output.ndim))
    return output.mean(dim=positions)


def _one_token(output: Tensor, reduction: Reduction, real: Tensor | None, positions: Positions | None) -> Tensor:
    if output.ndim <= 2:
        return output.reshape(len(output), -1)
    if output.ndim != 3:
        raise ValueError(
            f"Argument `output` must hold tokens of shape (n, T, D) for reduction={reduction!r}, got "
            f"{tuple(output.shape)}; use 'flatten' or 'mean' for this layer."
        )
    if real is None and reduction != "token":
        return output[:, 0 if reduction == "cls" else -1]
    if real is None:
        real = torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)
    if reduction == "token":
        if positions is None:
            raise ValueError("Argument `reduction` must not be 'token' here, where no token can be drawn; use 'last'.")
        index = drawn_of(real, positions.draws)
    else:
        index = first_of(real) if reduction == "cls" else last_of(real)
    return output[torch.arange(len(output), device=output.device), index]
