"""Drifts between persistence diagrams, with gradients."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_topolip.loss.diagrams import TensorDiagrams
from lightning_topolip.wasserstein import wasserstein_matching


def distances_along(path: Sequence[TensorDiagrams], order: float) -> Tensor:
    """Measure W_p on each step of a path of diagrams, shape ``(len(path) - 1,)``."""
    return torch.stack([diagram_distance(first, second, order) for first, second in itertools.pairwise(path)])


def diagram_distance(first: TensorDiagrams, second: TensorDiagrams, order: float) -> Tensor:
    """Measure W_p between diagrams, all dimensions together, ``(sum of W_p^p)^(1/p)``.

    The optimal matching is held fixed. Between equal diagrams the gradient is 0, a subgradient.

    Example:
        >>> far, near = ({0: torch.tensor([[0.0, death]], requires_grad=True)} for death in (5.0, 4.0))
        >>> diagram_distance(far, near, 2.0).backward()
        >>> far[0].grad, near[0].grad
        (tensor([[0., 1.]]), tensor([[ 0., -1.]]))
    """
    costs = [_costs(first[dimension], second[dimension], order) for dimension in first]
    return _norm(torch.cat(costs), order)


def _costs(first: Tensor, second: Tensor, order: float) -> Tensor:
    """The costs of the pairs of an optimal matching: L-infinity distances, and half the persistence on the diagonal."""
    matching = wasserstein_matching(first.detach().numpy(), second.detach().numpy(), order)
    rows, columns = torch.from_numpy(matching).unbind(1)
    both = (rows >= 0) & (columns >= 0)
    moved = (first[rows[both]] - second[columns[both]]).abs().amax(dim=1)
    left = first[rows[(rows >= 0) & ~both]]
    right = second[columns[(columns >= 0) & ~both]]
    return torch.cat([moved, *((points[:, 1] - points[:, 0]) / 2 for points in (left, right))])


def _norm(costs: Tensor, order: float) -> Tensor:
    """The p-norm, without overflow or underflow on the way, with gradient 0 at 0."""
    peak = float(costs.detach().max()) if len(costs) else 0.0
    if peak == 0.0:
        return costs.sum() * 0.0
    norm: Tensor = torch.linalg.vector_norm(costs / peak, order)
    return norm * peak
