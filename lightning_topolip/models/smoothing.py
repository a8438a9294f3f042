"""Two known ways to make a network smooth: a penalty on its gradient, and matrices divided by their spectral norms."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["penalised_loss", "with_spectral_norm"]


def with_spectral_norm(network: nn.Module) -> nn.Module:
    """Divide every matrix of a network, and every kernel as one from patches to channels, by its norm, in place.

    The norm is the largest singular value.

    Source:
        arXiv:1802.05957.

    Example:
        >>> layer = with_spectral_norm(nn.Linear(8, 8))
        >>> _ = [layer(torch.zeros(1, 8)) for _ in range(50)]
        >>> round(float(torch.linalg.matrix_norm(layer.weight.detach(), 2)), 2)
        1.0
    """
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            spectral_norm(module)
    return network


def penalised_loss(
    model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, label_smoothing: float, weight: float
) -> tuple[Tensor, Tensor]:
    """Compute the cross entropy plus a weight times the mean squared norm of its gradient for each image.

    Attention is computed by its formula, since the fused kernels have no second derivative.

    Args:
        model: From images to logits.
        images: Pixels, ``(n, channels, height, width)``.
        labels: Classes, ``(n,)``.
        label_smoothing: Of the cross entropy.
        weight: Weight of the penalty.

    Returns:
        The logits and the loss.

    Source:
        arXiv:1711.09404.
    """
    pixels = images.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        logits = model(pixels)
        losses = F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
        (gradient,) = torch.autograd.grad(losses.sum(), pixels, create_graph=True)
    return logits, losses.mean() + weight * gradient.flatten(1).square().sum(dim=1).mean()
