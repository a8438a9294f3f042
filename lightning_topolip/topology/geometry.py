"""The geometry of a layer's point cloud, read off its distance matrix: spread, dimension and covering numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.matrices import RESOLUTION, checked_matrix, scale

Array = npt.NDArray[np.float64]

RADII = tuple(2.0 ** (step / 4) for step in range(-12, 5))
_FEWEST_CENTRES = 4
_CENTRES_SHARE = 4


@dataclass(frozen=True)
class CoveringNumbers:
    """How many balls cover a cloud, for several radii: the exact numbers lie between the two bounds.

    Attributes:
        radii: Radii of the balls, in the unit in which they were asked for.
        upper: Size of a greedy farthest-point cover at each radius: N <= upper.
        lower: Size of a greedy packing at twice each radius: lower <= N_pack(2 eps) <= N.
    """

    radii: tuple[float, ...]
    upper: tuple[int, ...]
    lower: tuple[int, ...]


def total_variance(distances: npt.ArrayLike) -> float:
    """Sum the variances of all features: ``sum_ij E_ij^2 / (2 n^2)``.

    Args:
        distances: Distance matrix, shape ``(n, n)``, n >= 2.

    Returns:
        The total (biased, 1/n) variance, in the squared unit of the distances.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.

    Example:
        >>> total_variance([[0.0, 2.0], [2.0, 0.0]])
        1.0
    """
    matrix = checked_matrix(distances)
    return float(np.square(matrix).mean() / 2)


def participation_ratio(distances: npt.ArrayLike) -> float:
    """Count the directions among which the variance is shared: ``(sum lambda)^2 / sum lambda^2``.

    The lambda are the eigenvalues of the Gram matrix of the centred points. Both sums are norms of that matrix, its
    trace and its Frobenius norm, so nothing is decomposed.

    Args:
        distances: Distance matrix, shape ``(n, n)``, n >= 2.

    Returns:
        From 1, all variance along a line, to n - 1, equal variance in every direction. NaN if all points coincide.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.

    Example:
        >>> round(participation_ratio(1.0 - np.eye(4)), 6)
        3.0
    """
    matrix = checked_matrix(distances)
    largest = matrix.max()
    if largest == 0.0:
        return math.nan
    squares = np.square(matrix / largest)
    means = squares.mean(axis=0)
    gram = (means[:, None] + means[None, :] - squares - means.mean()) / 2
    return float(gram.trace() ** 2 / np.square(gram).sum())


def two_nn_dimension(distances: npt.ArrayLike, discard: float = 0.1) -> float:
    """Estimate the intrinsic dimension from the ratio of each point's second to first neighbour distance.

    For points of locally constant density on a manifold of dimension d, ``P(ratio <= m) = 1 - m^-d``. The slope through
    the origin of ``-log(1 - i/n)`` over the logarithm of the i-th smallest ratio estimates d; the largest ratios, where
    the density changes, are left out. Points that coincide, up to the resolution of `distance_matrix`, count once.

    Args:
        distances: Distance matrix, shape ``(n, n)``, n >= 2.
        discard: Share of the points with the largest ratios that the fit leaves out, from 0 to below 1.

    Returns:
        The dimension. NaN for fewer than three points that differ or fewer than two ratios in the fit; infinite if
        every ratio in the fit is 1, as for points that are all equally far apart.

    Raises:
        ValueError: If an argument is not allowed.

    Source:
        Facco, d'Errico, Rodriguez, Laio, DOI 10.1038/s41598-017-11873-y, with their regression and their 10%.

    Example:
        >>> points = np.random.default_rng(0).uniform(size=(200, 2))
        >>> round(two_nn_dimension(np.linalg.norm(points[:, None] - points[None], axis=2)))
        2
    """
    matrix = checked_matrix(distances)
    if not 0 <= discard < 1:
        raise ValueError(
            f"Argument `discard` must be at least 0 and below 1, got {discard!r}; give a share such as 0.1."
        )
    first_twin = (matrix <= RESOLUTION * matrix.max()).argmax(axis=1)
    distinct = np.flatnonzero(first_twin == np.arange(len(matrix)))
    n = len(distinct)
    kept = min(int(n * (1 - discard)), n - 1)
    if n < 3 or kept < 2:
        return math.nan
    _, nearest, second = np.partition(matrix[np.ix_(distinct, distinct)], (1, 2), axis=1)[:, :3].T
    logarithms = np.sort(np.log(second / nearest))[:kept]
    heights = -np.log1p(-np.arange(1, kept + 1) / n)
    squares = float(np.square(logarithms).sum())
    return float(logarithms @ heights) / squares if squares > 0 else math.inf


def covering_numbers(
    distances: npt.ArrayLike, radii: Sequence[float] = RADII, *, scaled: bool = True
) -> CoveringNumbers:
    """Bound the covering number N(eps) of a cloud from both sides, for every radius by one farthest-point traversal.

    N(eps) is the smallest number of closed balls of radius eps that hold all points. The first k points of the
    traversal, up to where every point is within eps of one of them, are centres of such a cover (upper bound). Those
    that are more than 2 eps from all before them cannot share a ball of radius eps, whatever its centre (lower bound).

    Args:
        distances: Distance matrix, shape ``(n, n)``, n >= 2.
        radii: Radii eps, at least 0; by default ``2^-3`` to 2 in quarters of an octave.
        scaled: Whether the radii are in units of the scale, the mean off-diagonal distance, or in that of the
            distances.

    Returns:
        Both bounds by radius.

    Raises:
        ValueError: If an argument is not allowed.

    Source:
        The traversal: Gonzalez, DOI 10.1016/0304-3975(85)90224-5.

    Example:
        >>> line = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
        >>> covering_numbers(line, radii=[0.5, 1.0, 2.0], scaled=False)
        CoveringNumbers(radii=(0.5, 1.0, 2.0), upper=(5, 3, 1), lower=(3, 1, 1))
    """
    matrix = checked_matrix(distances)
    asked = np.asarray(radii, dtype=np.float64)
    if asked.ndim != 1 or not np.all(np.isfinite(asked) & (asked >= 0)):
        raise ValueError(
            f"Argument `radii` must be a sequence of finite numbers >= 0, got {radii!r}; give for example [0.5, 1]."
        )
    _, reach = farthest_point_traversal(matrix)
    sizes = asked * scale(matrix) if scaled else asked
    upper = (reach[None, :] > sizes[:, None]).sum(axis=1)
    lower = (reach[None, :] > 2 * sizes[:, None]).sum(axis=1)
    return CoveringNumbers(tuple(asked.tolist()), tuple(upper.tolist()), tuple(lower.tolist()))


def covering_dimension(distances: npt.ArrayLike) -> float:
    """Measure how fast the covering number grows: the slope of ``log N(eps)`` over ``log 1/eps``.

    The slope is the least-squares fit over the greedy covers of 4 to n/4 balls, each at the smallest radius at which it
    covers. Fewer balls see the outline of the cloud, more see single points. Boundaries and few points lower the
    slope, the more the higher the dimension: compare clouds of the same n, do not read it as the dimension.

    Args:
        distances: Distance matrix, shape ``(n, n)``, n >= 2.

    Returns:
        The slope. NaN if the range holds fewer than three covers (n < 24) or fewer than two radii.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.

    Example:
        >>> angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
        >>> circle = 2 * np.abs(np.sin(np.subtract.outer(angles, angles) / 2))
        >>> round(covering_dimension(circle))
        1
    """
    matrix = checked_matrix(distances)
    _, reach = farthest_point_traversal(matrix)
    sizes = np.arange(_FEWEST_CENTRES, len(matrix) // _CENTRES_SHARE + 1)
    radii = reach[sizes]
    sizes, radii = sizes[radii > 0], radii[radii > 0]
    if len(sizes) < 3 or np.ptp(radii) == 0:
        return math.nan
    fineness = -np.log(radii)
    fineness -= fineness.mean()
    return float(fineness @ np.log(sizes) / (fineness @ fineness))


def farthest_point_traversal(distances: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], Array]:
    """Order the points so that each is the farthest from all before it, from the one with the nearest horizon.

    The first point is the centre of the smallest ball around a point of the cloud that holds all of it. So the order
    depends on the cloud alone, up to ties.

    Args:
        distances: Distance matrix, shape ``(n, n)``, n >= 2.

    Returns:
        The order, shape ``(n,)``, and how far each point of it is from all before it, shape ``(n,)``, never growing;
        infinite for the first. The first k points cover the cloud at the radius of the next one.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.

    Example:
        >>> line = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
        >>> farthest_point_traversal(line)
        (array([2, 0, 4, 1, 3]), array([inf,  2.,  2.,  1.,  1.]))
    """
    matrix = checked_matrix(distances)
    order = np.empty(len(matrix), dtype=np.intp)
    reach = np.full(len(matrix), math.inf)
    order[0] = matrix.max(axis=1).argmin()
    nearest = matrix[order[0]].copy()
    nearest[order[0]] = -1.0
    for step in range(1, len(matrix)):
        farthest = int(nearest.argmax())
        order[step], reach[step] = farthest, nearest[farthest]
        nearest = np.minimum(nearest, matrix[farthest])
        nearest[farthest] = -1.0
    return order, reach
