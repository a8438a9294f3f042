"""The largest singular value of many linear maps at once, by Golub-Kahan-Lanczos bidiagonalisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]
Product = Callable[[Tensor], tuple[Tensor, Array]]
"""Maps one vector per sample to its image, shape ``(n, m)``, in a unit per sample, shape ``(n,)``."""

FAILURE_PROBABILITY = 1e-4
FEWEST_STEPS = 2

_DENSE_CHECKS = 12
_HALVINGS = 40
_LOWEST_EXCESS, _HIGHEST_EXCESS = 1e-12, 1e12


@dataclass(frozen=True)
class LargestSingularValues:
    """Largest singular values with their errors, one per sample, shape ``(n,)`` each.

    Attributes:
        values: Largest singular value within the vectors searched, a lower bound; not finite if the map is not.
        residuals: ``|A^T A v - s^2 v| / s^2`` of the value s and its unit vector v.
        upper: What the largest singular value exceeds with probability at most `FAILURE_PROBABILITY`.
        steps: Number of steps of the slowest sample.
    """

    values: Array
    residuals: Array
    upper: Array
    steps: int


def largest_singular_values(
    product: Product, transposed: Product, starts: Callable[[], Tensor], tolerance: float, max_steps: int
) -> LargestSingularValues:
    """Bidiagonalise A of every sample until its largest singular value is known.

    A sample is done when the residual of its value is at most the tolerance, and a larger singular value than
    ``(1 + tolerance)`` times the value has a probability of at most `FAILURE_PROBABILITY`. The probability is that of
    a start drawn uniformly from the sphere: a direction u is missed only if its share of the start is below
    ``1 / q(s^2)``, where q is the last Lanczos polynomial, since ``q(A^T A)`` maps the start to a unit vector. This
    needs no gap in the spectrum, no orthogonal basis and hence no memory of the earlier vectors.

    Args:
        product: The maps v -> A v.
        transposed: The maps w -> A^T w.
        starts: Draws one normally distributed vector per sample, shape ``(n, d)``.
        tolerance: Largest relative error and residual.
        max_steps: Largest number of steps, of one product with A and one with A^T each.

    Source:
        Golub and Kahan 1965, DOI 10.1137/0702016; van Dorsselaer, Hochstenbach and van der Vorst 2000, DOI
        10.1137/S0895479800366859, on the probability; Hochstenbach 2013, DOI 10.1007/s10915-013-9716-x.
    """
    right = _normalised(starts(), np.ones(1))[0]
    left, beta = torch.zeros(len(right), 1, dtype=right.dtype, device=right.device), np.zeros(len(right))
    search = _Search(len(right), right[0].numel(), tolerance)
    while search.steps < max_steps and not search.done:
        left, alpha = _next(product(right), left, beta)
        right, beta = _next(transposed(left), right, alpha)
        search.add(alpha, beta)
        ended = torch.from_numpy(beta == 0)
        if ended.any() and not search.done:
            right = torch.where(ended.to(right.device)[:, None], _normalised(starts(), np.ones(1))[0], right)
    return search.result()


def _next(image: tuple[Tensor, Array], previous: Tensor, coefficient: Array) -> tuple[Tensor, Array]:
    """Take the share of the previous vector off an image, and normalise what is left."""
    vectors, units = image
    share = torch.from_numpy(np.nan_to_num(coefficient / units)).to(vectors)
    return _normalised(vectors - share[:, None] * previous, units)


def _normalised(vectors: Tensor, units: Array) -> tuple[Tensor, Array]:
    """The vectors divided by their norms, and the norms in float64; 0 for vectors that are zero or not finite."""
    peaks = vectors.abs().amax(1, keepdim=True)
    relative = vectors / torch.where(peaks > 0, peaks, 1)
    norms = torch.linalg.vector_norm(relative, dim=1, keepdim=True)
    unit = torch.where(peaks.isfinite(), relative / norms.clamp_min(1), 0)
    return unit, units * peaks[:, 0].cpu().double().numpy() * norms[:, 0].cpu().double().numpy()


class _Search:
    """The bidiagonal matrices of all samples, and what they say about the largest singular values.

    Args:
        n: Number of samples.
        dimension: Dimension d of the space that the starts are drawn from.
        tolerance: Largest relative error and residual.
    """

    def __init__(self, n: int, dimension: int, tolerance: float) -> None:
        self._tolerance = tolerance
        self._rarity = np.log(np.sqrt(2 * dimension / np.pi) / FAILURE_PROBABILITY)
        self._alphas, self._betas = np.zeros((n, 0)), np.zeros((n, 0))
        self._values, self._residuals = np.zeros(n), np.zeros(n)
        self._lengths, self._open = np.zeros(n, dtype=int), np.ones(n, dtype=bool)

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return self._alphas.shape[1]

    @property
    def done(self) -> bool:
        """Whether every sample is done."""
        return not self._open.any()

    def add(self, alpha: Array, beta: Array) -> None:
        """Add a row to every matrix: its diagonal entry, and the entry to the right of it."""
        self._alphas = np.column_stack([self._alphas, np.where(self._open, alpha, 0)])
        self._betas = np.column_stack([self._betas, np.where(self._open, beta, 0)])
        broken = self._open & ~(np.isfinite(alpha) & np.isfinite(beta))
        self._values[broken] = np.where(np.isfinite(alpha), beta, alpha)[broken]
        self._residuals[broken], self._lengths[broken], self._open[broken] = np.nan, self.steps, False
        if self.steps <= _DENSE_CHECKS or self.steps % (self.steps // _DENSE_CHECKS + 1) == 0:
            self._update()

    def result(self) -> LargestSingularValues:
        """Return the values of all samples, each of the step at which it was done."""
        self._update()
        return LargestSingularValues(self._values, self._residuals, self._upper(), self.steps)

    def _update(self) -> None:
        """Estimate the open samples, and close those that are done."""
        rows = np.flatnonzero(self._open)
        if len(rows) == 0:
            return
        self._values[rows], self._residuals[rows] = _top(self._alphas[rows], self._betas[rows])
        self._lengths[rows] = self.steps
        certain = self._log_polynomial(rows, self._tolerance * (2 + self._tolerance)) >= self._rarity
        accurate = self._residuals[rows] <= self._tolerance
        self._open[rows] = ~(certain & accurate) | (self.steps < FEWEST_STEPS)

    def _upper(self) -> Array:
        """Where the last Lanczos polynomials reach the rarity, by bisection."""
        upper = np.full(len(self._values), np.nan)
        rows = np.flatnonzero(np.isfinite(self._values))
        low, high = (np.full(len(rows), np.log(excess)) for excess in (_LOWEST_EXCESS, _HIGHEST_EXCESS))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            reached = self._log_polynomial(rows, np.exp(middle)) >= self._rarity
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        upper[rows] = self._values[rows] * np.sqrt(1 + np.exp(high))
        return upper

    def _log_polynomial(self, rows: npt.NDArray[np.int64], excess: Array | float) -> Array:
        """The logarithm of the last Lanczos polynomial at ``(1 + excess) * value^2``; -inf if it has roots beyond."""
        values = np.where(self._values[rows] > 0, self._values[rows], 1)[:, None]
        alphas, betas = self._alphas[rows] / values, self._betas[rows] / values
        squares, products = alphas**2, (alphas * betas) ** 2
        squares[:, 1:] += betas[:, :-1] ** 2
        logarithm, pivot = np.zeros(len(rows)), np.ones(len(rows))
        with np.errstate(divide="ignore", invalid="ignore"):
            for step in range(self._lengths[rows].max(initial=0)):
                pivot = 1 + excess - squares[:, step] - (products[:, step - 1] / pivot if step else 0)
                change = np.log(np.maximum(pivot, 0)) - np.log(products[:, step]) / 2
                logarithm = np.where(step < self._lengths[rows], logarithm + change, logarithm)
        return np.where(np.isnan(logarithm), -np.inf, logarithm)


def _top(alphas: Array, betas: Array) -> tuple[Array, Array]:
    """The largest singular values of bidiagonal matrices, and their residuals."""
    scale = np.maximum(alphas.max(axis=1), betas.max(axis=1))
    scale = np.where(scale > 0, scale, 1)
    steps = np.arange(alphas.shape[1])
    matrices = np.zeros((len(alphas), len(steps), len(steps)))
    matrices[:, steps, steps] = alphas / scale[:, None]
    matrices[:, steps[:-1], steps[1:]] = betas[:, :-1] / scale[:, None]
    left, values, _ = np.linalg.svd(matrices)
    top = values[:, 0]
    rest = betas[:, -1] / scale * np.abs(left[:, -1, 0])
    return top * scale, np.divide(rest, top, out=np.zeros_like(rest), where=top > 0)
