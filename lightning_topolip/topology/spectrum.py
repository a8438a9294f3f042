"""The spectrum of a point cloud from its distance matrix, and what says that a representation collapses."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.matrices import checked_matrix

Array = npt.NDArray[np.float64]

_FIRST_RANK, _LAST_RANK, _FEWEST_RANKS = 4, 50, 3
_LOST = 1e-12


def participation_ratio(distances: npt.ArrayLike) -> float:
    """Compute the effective number of directions of the variance: ``(sum lambda)^2 / sum lambda^2``.

    It ranges from 1, all variance along a line, to n - 1, equal variance in every direction, and is NaN if all points
    coincide. The lambda are those of `variance_spectrum`. Both sums are norms of the Gram matrix, its trace and its
    Frobenius norm, so that no decomposition is needed.

    Example:
        >>> round(participation_ratio(1.0 - np.eye(4)), 6)
        3.0
    """
    gram = _gram_matrix(distances)
    norm = float(np.square(gram).sum())
    return float(gram.trace() ** 2 / norm) if norm > 0 else math.nan


def variance_spectrum(distances: npt.ArrayLike) -> Array:
    """Compute the eigenvalues of the Gram matrix of the centred points, largest first, as shares of their sum.

    These are the variances along the principal axes, of which there are at most n - 1. What rounding may have made is
    left out: shares below 1e-12.

    Returns:
        The shares, shape ``(r,)`` for r directions; none if all points coincide.

    Example:
        >>> variance_spectrum([[0.0, 2.0], [2.0, 0.0]])
        array([1.])
    """
    gram = _gram_matrix(distances)
    total = gram.trace()
    if total == 0:
        return np.empty(0)
    shares = np.linalg.eigvalsh(gram)[::-1] / total
    return np.asarray(shares[shares > _LOST])


def rankme(spectrum: npt.ArrayLike) -> float:
    """Compute the effective rank of a cloud, a smooth count of the directions that it uses.

    It is the exponential of the entropy of the singular values of the centred points, as shares of their sum: 1 for a
    line, n - 1 for equal variance in every direction, NaN if all points coincide. Singular values weigh small
    directions more than the variances in `participation_ratio` do. A training without labels whose value falls towards
    1 collapses.

    Args:
        spectrum: See `variance_spectrum`.

    Source:
        Garrido, Balestriero, Najman, LeCun, arXiv 2210.02885, who do not centre; the entropy: Roy and Vetterli, 2007.

    Example:
        >>> round(rankme(variance_spectrum(1.0 - np.eye(4))), 6)
        3.0
    """
    singular = np.sqrt(np.asarray(spectrum, dtype=np.float64))
    if not len(singular):
        return math.nan
    shares = singular / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def alpha_req(spectrum: npt.ArrayLike) -> float:
    """Compute how fast the variance decays over the principal axes: the alpha of ``lambda_i ~ i^-alpha``.

    Values near 1 went with the best downstream accuracy in the source; far larger ones say that few directions carry
    everything. The fit is that of the authors' code: least squares of the logarithms over the ranks 4 to 50, each
    weighted by the inverse of its rank. NaN for fewer than six directions.

    Args:
        spectrum: See `variance_spectrum`.

    Source:
        Agrawal, Mondal, Ghosh, Richards, alpha-ReQ, NeurIPS 2022.

    Example:
        >>> round(alpha_req(np.arange(1.0, 60.0) ** -1.5), 6)
        1.5
    """
    variances = np.asarray(spectrum, dtype=np.float64)[_FIRST_RANK - 1 : _LAST_RANK]
    if len(variances) < _FEWEST_RANKS:
        return math.nan
    ranks = np.arange(_FIRST_RANK, _FIRST_RANK + len(variances))
    slope, _ = np.polyfit(np.log(ranks), np.log(variances), 1, w=ranks**-0.5)  # which squares the weights
    return -float(slope)


def _gram_matrix(distances: npt.ArrayLike) -> Array:
    """The scalar products of the centred points, in units of the largest squared distance."""
    matrix = checked_matrix(distances)
    squares = np.square(matrix / (matrix.max() or 1.0))
    means = squares.mean(axis=0)
    return np.asarray((means[:, None] + means[None, :] - squares - means.mean()) / 2)
