"""The persistence diagrams of a distance matrix, with gradients: births and deaths are entries of the matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_topolip.topology.diagrams import persistence_edges
from lightning_topolip.topology.settings import Settings

TensorDiagrams = dict[int, Tensor]
"""By homology dimension the points, shape ``(k, 2)``, float64, on the CPU."""


def diagrams_with_gradient(distances: Tensor, settings: Settings) -> TensorDiagrams:
    """Compute the diagrams of a distance matrix in the view of the settings, as an analysis does, with gradients.

    Which pairs of points make a class is held fixed. A cloud whose points all coincide has empty diagrams.

    Args:
        distances: Distance matrix, shape ``(n, n)``.
        settings: View, dimensions and engine.

    Returns:
        The diagrams.
    """
    matrix = distances.cpu().to(torch.float64)
    edges = persistence_edges(matrix.detach(), settings.dimensions, settings.engine)
    scale = _scale(matrix) if settings.view == "scaled" else 1.0
    return {
        dimension: matrix[pairs[..., 0], pairs[..., 1]] / scale
        for dimension, pairs in ((dimension, torch.from_numpy(edges[dimension])) for dimension in settings.dimensions)
    }


def _scale(matrix: Tensor) -> Tensor:
    """The mean distance of two points; 1 where there is none, so that an empty diagram stays one."""
    n = len(matrix)
    total = matrix.sum()
    return total / (n * (n - 1)) if float(total.detach()) > 0.0 else torch.ones_like(total)
