"""The distance matrix of a point cloud, with its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_topolip.network.distances import euclidean_distances, product_dtype, real_coordinates

_CLOSE = 1e-3  # below this share of the cloud's radius a product has lost too many digits of a difference
_PAIRS = 128


def distances_with_gradient(cloud: Tensor) -> Tensor:
    """Compute the Euclidean distances between all points of a cloud, with gradients.

    The gradient of a distance is the unit vector between its points, and 0, a subgradient, where they coincide.

    Args:
        cloud: Points, shape ``(n, d)``, real or complex.

    Returns:
        Distances, shape ``(n, n)``, as in `distance_matrix`, but in float64 for a cloud in float64.

    Raises:
        ValueError: As `distance_matrix`.

    Example:
        >>> cloud = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
        >>> distances_with_gradient(cloud)[0, 1].backward()
        >>> cloud.grad
        tensor([[-0.6000, -0.8000],
                [ 0.6000,  0.8000]])
    """
    distances: Tensor = _Distances.apply(cloud)
    return distances


class _Distances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cloud: Tensor) -> Tensor:
        dtype = torch.float64 if cloud.dtype in (torch.float64, torch.complex128) else torch.float32
        distances = euclidean_distances(cloud, dtype)
        ctx.save_for_backward(cloud, distances)
        return distances

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        cloud, distances = ctx.saved_tensors
        points = real_coordinates(cloud)
        with torch.autocast(cloud.device.type, enabled=False):
            result = _pulled_back(points, distances, gradient).to(cloud.device, points.dtype)
        return torch.view_as_complex(result.reshape(*cloud.shape, 2)) if cloud.is_complex() else result


def _pulled_back(points: Tensor, distances: Tensor, gradient: Tensor) -> Tensor:
    """The sum over j of ``(g_ij + g_ji) (x_i - x_j) / |x_i - x_j|``: a graph Laplacian times the cloud."""
    points, distances = points.to(distances.device), distances.to(torch.float64)
    diameter = float(distances.max())
    if diameter == 0.0:
        return torch.zeros_like(points)
    stretches = diameter / distances.masked_fill(distances == 0, torch.inf)
    weights = (gradient + gradient.T).to(torch.float64) * stretches
    close = distances < _CLOSE * diameter
    far = weights.masked_fill(close, 0.0)
    dtype = product_dtype(points)
    centred = points.to(torch.float64 if points.dtype == torch.float64 else torch.float32)
    centred = ((centred - centred.mean(dim=0)) / diameter).to(dtype)
    result = torch.addmm(far.sum(dim=1, keepdim=True).to(dtype) * centred, far.to(dtype), centred, alpha=-1)
    for pairs in torch.split((close & (weights != 0)).nonzero(), _PAIRS):
        rows, others = pairs.unbind(1)
        differences = points[rows].to(torch.float64) - points[others].to(torch.float64)
        result.index_add_(0, rows, (weights[rows, others, None] * (differences / diameter)).to(dtype))
    return result
