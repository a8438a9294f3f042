"""The distance between two diagrams: which solver answers, and how several dimensions combine."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .assignment import wasserstein
from .bottleneck import bottleneck_distance
from .diagram import Floats, normalize, read_diagram
from .line import line_bottleneck, line_wasserstein, on_one_line
from .norm import AS_GOOD_AS_INFINITE, check_order, p_norm


def wasserstein_distance(
    first: ArrayLike, second: ArrayLike, order: float = 2.0, *, engine: Literal["exact", "pot"] = "exact"
) -> float:
    """W_p between two persistence diagrams.

    The smallest (sum of d^p)^(1/p) over all matchings, where d is the L-infinity distance of two matched
    points and half the persistence of a point that is left to the diagonal; for p = inf the smallest largest
    d, the bottleneck distance. Exact to 1e-9 relative whatever the scale, the same bit for bit when the
    arguments are exchanged, and 0.0 exactly when the diagrams are equal as multisets.

    Args:
        first: (k, 2) finite (birth, death) of one homology dimension, in any order; [] is the empty diagram.
            Points with birth == death count nothing.
        second: (m, 2), likewise.
        order: p in [1, inf].
        engine: "exact" for this package's own solvers, "pot" for the reference: the full transport problem by
            POT, slow, finite orders only.

    Returns:
        The distance, in the unit of the coordinates, >= 0.

    Raises:
        ValueError: If a diagram has another shape, a NaN, an infinite point or a point below the diagonal, or
            `order` or `engine` is out of range.
        RuntimeError: If POT does not converge (engine="pot" only).

    Source: Kerber, Morozov, Nigmetov, arXiv 1606.03357; stability: DOI 10.1007/s00454-006-1276-5.

    >>> wasserstein_distance([[0, 4], [1, 2]], [[0, 5]], order=1)
    1.5
    >>> wasserstein_distance([[0, 4], [1, 2]], [[0, 5]], order=math.inf)
    1.0
    """
    order = check_order(order)
    if engine not in ("exact", "pot"):
        raise ValueError(f'engine must be "exact" or "pot", got {engine!r}: "exact" is the default')
    return _distance(read_diagram("first", first), read_diagram("second", second), order, engine)


def wasserstein_distances(pairs: Sequence[tuple[ArrayLike, ArrayLike]], order: float = 2.0) -> Floats:
    """W_p of many pairs of diagrams.

    Args:
        pairs: Pairs of diagrams, each as `wasserstein_distance` takes them.
        order: p in [1, inf].

    Returns:
        (len(pairs),) distances, each equal to that of `wasserstein_distance`.

    Raises:
        ValueError: As `wasserstein_distance`; the text names the pair.

    >>> wasserstein_distances([([[0, 4]], [[0, 5]]), ([[0, 4]], [])])
    array([1., 2.])
    """
    order = check_order(order)
    read = [
        (read_diagram(f"pairs[{index}][0]", first), read_diagram(f"pairs[{index}][1]", second))
        for index, (first, second) in enumerate(pairs)
    ]
    return np.array([_distance(first, second, order, "exact") for first, second in read], dtype=np.float64)


def combine_dimensions(distances: Iterable[float], order: float) -> float:
    """W_p of diagrams with labelled points, from their distances in each homology dimension.

    Args:
        distances: One distance >= 0 for each dimension; NaN stands for one that could not be computed.
        order: p in [1, inf], the same as that of the distances.

    Returns:
        (sum of W_k^p)^(1/p), for p = inf the largest; NaN if any distance is NaN; 0.0 for none.

    Raises:
        ValueError: If a distance is negative or `order` is out of range.

    >>> combine_dimensions([3.0, 4.0], 2)
    5.0
    """
    order = check_order(order)
    values = np.array([float(distance) for distance in distances])
    if np.isnan(values).any():
        return math.nan
    if (values < 0).any():
        raise ValueError(f"distances must be >= 0 or NaN, got {values.min()}: pass values of wasserstein_distance")
    return p_norm(values, order)


def _distance(first: Floats, second: Floats, order: float, engine: str) -> float:
    if np.array_equal(first, second):
        return 0.0
    first, second, exponent = normalize(first, second)
    if engine == "pot":
        from .transport import diagram_transport

        value = diagram_transport(first, second, order)
    else:
        value = _exact(first, second, order)
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(value, exponent))


def _exact(first: Floats, second: Floats, order: float) -> float:
    line, bottleneck = on_one_line(first, second), order >= AS_GOOD_AS_INFINITE
    if line:
        return line_bottleneck(first, second) if bottleneck else line_wasserstein(first, second, order)
    return bottleneck_distance(first, second) if bottleneck else wasserstein(first, second, order)
