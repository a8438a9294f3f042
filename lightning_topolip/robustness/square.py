"""A black-box attack within an L-infinity ball of pixels, for networks whose gradient is hidden: Square."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.robustness.attacks import checked, generator_of, margin, stronger
from lightning_topolip.robustness.predictor import Predict, finite

_SHARE = 0.8
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_SCHEDULE = 10_000
_STREAM = 1_000_003


def square(
    predict: Predict, images: Tensor, labels: Tensor, epsilon: float, *, queries: int = 1000, seed: int = 0
) -> Tensor:
    """Change random squares of the image by epsilon, keeping what increases the margin (Square); needs no gradient.

    The strongest point visited is kept for each image, including the clean image. The random numbers depend on ``seed``
    and the image, not on the rest of the batch. An image is left alone once it is misclassified.

    Args:
        predict: Maps pixels to logits, shape ``(n, K)``; use `predictor` for a module.
        images: Pixels in [0, 1], shape ``(n, C, H, W)`` or ``(n, ...)``, float32 or float64, before normalisation.
        labels: True classes, shape ``(n,)``, whole numbers.
        epsilon: Radius in pixel units, such as ``8 / 255``.
        queries: Number of forward passes, at least 1.
        seed: Seed of the squares. No global generator is used.

    Returns:
        Pixels in [0, 1], shape ``(n, ...)``, none more than epsilon from the original.

    Raises:
        ValueError: If an argument is invalid.
        FloatingPointError: If a logit is not finite.

    Source:
        Andriushchenko, Croce, Flammarion, Hein, arXiv 1912.00049.

    Example:
        >>> import torch
        >>> predict = lambda images: torch.stack([images.sum(1), -images.sum(1)], dim=1).round(decimals=1)
        >>> square(predict, torch.tensor([[1.0, 0.5]]), torch.tensor([0]), epsilon=0.25)
        tensor([[0.7500, 0.2500]])
    """
    images, labels = checked(images, labels, epsilon)
    require_whole_number("queries", queries, 1)
    with torch.no_grad():
        images = images.clone()
        strongest, best = images.clone(), margin(finite(predict(images)), labels)
        draws = _Squares(images, queries, seed)
        for query in range(queries):
            rows = torch.nonzero(best <= 0)[:, 0].to(images.device)
            if len(rows) == 0:
                break
            signs, inside = draws.square(query, rows)
            moved = (images[rows] + epsilon * signs).clamp(0, 1)
            point = torch.where(inside, moved, strongest[rows])
            gained = margin(finite(predict(point)), labels[rows])
            places = rows.to(best.device)
            strongest[rows], best[places] = stronger(strongest[rows], best[places], point, gained, ties=True)
    return strongest


class _Squares:
    """Random squares of images: where they are, and the sign of the change in each channel."""

    def __init__(self, images: Tensor, queries: int, seed: int) -> None:
        self._shape = images.shape[1:]
        channels, height, width = images.shape[1:] if images.ndim == 4 else (1, 1, images[0].numel())
        self._grid = channels, height, width
        self._queries = queries
        generators = [generator_of(image, seed, _STREAM) for image in images.cpu().numpy()]
        stripes = [generator.random((channels, 1, width)) for generator in generators]
        draws = [generator.random((queries, 2 + channels)) for generator in generators]
        self._stripes, self._draws = (torch.from_numpy(np.stack(numbers)).to(images) for numbers in (stripes, draws))

    def square(self, query: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The signs of the query for some images, and which pixels they apply to; vertical stripes first."""
        channels, height, width = self._grid
        shape = (len(rows), *self._shape)
        if query == 0:
            signs = _signs(self._stripes[rows]).expand(-1, -1, height, -1)
            return signs.reshape(shape), torch.ones((), dtype=torch.bool, device=rows.device)
        draws = self._draws[rows, query]
        tall, wide = self._size(query)
        top, left = ((draws[:, k] * (room + 1)).long() for k, room in ((0, height - tall), (1, width - wide)))
        down = torch.arange(height, device=rows.device) - top[:, None]
        across = torch.arange(width, device=rows.device) - left[:, None]
        vertical, horizontal = (down >= 0) & (down < tall), (across >= 0) & (across < wide)
        inside = (vertical[:, None, :, None] & horizontal[:, None, None, :]).expand(-1, channels, -1, -1)
        signs = _signs(draws[:, 2:])[:, :, None, None].expand(-1, -1, height, width)
        return signs.reshape(shape), inside.reshape(shape)

    def _size(self, query: int) -> tuple[int, int]:
        """Height and width of the squares, which shrink as the queries go on."""
        _, height, width = self._grid
        progress = query * _SCHEDULE / self._queries
        area = height * width * _SHARE / 2 ** sum(progress > bound for bound in _HALVINGS)
        tall = min(max(round(area**0.5), 1), height)
        return tall, min(max(round(area / tall), 1), width)


def _signs(draws: Tensor) -> Tensor:
    return torch.where(draws < 0.5, 1.0, -1.0).to(draws)
