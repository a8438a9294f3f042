"""The geometry of a point cloud from its distance matrix: variance, intrinsic dimension and covering numbers."""

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
    """Bounds on the number of balls that cover a cloud, for several radii.

    Attributes:
        radii: Radii of the balls, in the unit in which they were given.
        upper: Size of a greedy farthest-point cover at each radius: N <= upper.
        lower: Size of a greedy packing at twice each radius: lower <= N_pack(2 eps) <= N.
    """

    radii: tuple[float, ...]
    upper: tuple[int, ...]
    lower: tuple[int, ...]


def total_variance(distances: npt.ArrayLike) -> float:
    """Sum the biased (1/n) variances of all features: ``sum_ij E_ij^2 / (2 n^2)``, in the distances' squared unit.

    Example:
        >>> total_variance([[0.0, 2.0], [2.0, 0.0]])
        1.0
    """
    matrix = checked_matrix(distances)
    return float(np.square(matrix).mean() / 2)


def two_nn_dimension(distances: npt.ArrayLike, discard: float = 0.1) -> float:
    """Estimate the intrinsic dimension from the ratio of each point's second to first neighbour distance.

    For points of locally constant density on a manifold of dimension d, ``P(ratio <= m) = 1 - m^-d``. The slope through
    the origin of ``-log(1 - i/n)`` over the logarithm of the i-th smallest ratio estimates d. The fit drops the share
    ``discard`` of the largest ratios, where the density changes. Points that coincide, up to the resolution of
    `distance_matrix`, count once. NaN for fewer than three distinct points or fewer than two ratios in the fit;
    infinite if every ratio in the fit is 1, as for equidistant points.

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
            f"Argument `discard` must be at least 0 and below 1, got {discard!r}; pass a share such as 0.1."
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


def nearest_neighbour_distance(distances: npt.ArrayLike) -> float:
    """Measure the median distance of a point from its nearest neighbour, in units of the scale; NaN without a scale.

    Example:
        >>> line = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
        >>> nearest_neighbour_distance(line)  # 1 of a mean distance of 2
        0.5
    """
    matrix = checked_matrix(distances)
    mean = scale(matrix)
    nearest = np.partition(matrix, 1, axis=1)[:, 1]
    return float(np.median(nearest)) / mean if mean > 0 else math.nan


def covering_numbers(
    distances: npt.ArrayLike, radii: Sequence[float] = RADII, *, scaled: bool = True
) -> CoveringNumbers:
    """Bound the covering number N(eps) of a cloud from both sides, for all radii by one farthest-point traversal.

    N(eps) is the smallest number of closed balls of radius eps that contain all points. The first k points of the
    traversal, up to where every point is within eps of one of them, are centres of such a cover (upper bound). Points
    that are more than 2 eps from all previous ones cannot share a ball of radius eps with them, whatever its centre
    (lower bound). The radii are in units of the scale, the mean off-diagonal distance, or without ``scaled`` in the
    unit of the distances. By default they are ``2^-3`` to 2 in quarters of an octave.

    Source:
        The traversal: Gonzalez, DOI 10.1016/0304-3975(85)90224-5.

    Example:
        >>> line = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
        >>> covering_numbers(line, radii=[0.5, 1.0, 2.0], scaled=False)
        CoveringNumbers(radii=(0.5, 1.0, 2.0), upper=(5, 3, 1), lower=(3, 1, 1))
    """
    matrix = checked_matrix(distances)
    given = np.asarray(radii, dtype=np.float64)
    if given.ndim != 1 or not np.all(np.isfinite(given) & (given >= 0)):
        raise ValueError(
            f"Argument `radii` must be a sequence of finite numbers >= 0, got {radii!r}; pass for example [0.5, 1]."
        )
    _, reach = farthest_point_traversal(matrix)
    lengths = given * scale(matrix) if scaled else given
    upper = (reach[None, :] > lengths[:, None]).sum(axis=1)
    lower = (reach[None, :] > 2 * lengths[:, None]).sum(axis=1)
    return CoveringNumbers(tuple(given.tolist()), tuple(upper.tolist()), tuple(lower.tolist()))


def covering_dimension(distances: npt.ArrayLike) -> float:
    """Measure how fast the covering number grows: the slope of ``log N(eps)`` over ``log 1/eps``.

    The slope is a least-squares fit over the greedy covers of 4 to n/4 balls, each at the smallest radius at which it
    covers. Fewer balls see the outline of the cloud, more balls see single points. Boundaries and small samples lower
    the slope, the more the higher the dimension: compare clouds of the same n, and do not read it as the dimension.
    NaN for fewer than three such covers (n < 24) or fewer than two different radii.

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
    """Order the points so that each is the farthest from all previous ones; return the order and these distances.

    The first point is the centre of the smallest ball around a point of the cloud that contains the cloud, so that the
    order depends on the cloud alone, up to ties. The distances never increase, and the first one is infinite. The first
    k points cover the cloud at the distance of the next one.

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
