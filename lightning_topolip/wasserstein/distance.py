"""The distance between two diagrams: which solver answers, and how several dimensions combine."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .diagram import Floats, Known, half_persistence, know, normalize, on_one_line, read_diagram
from .norm import check_order, p_norm


def wasserstein_distance(
    first: ArrayLike, second: ArrayLike, order: float = 2.0, *, engine: Literal["exact", "pot"] = "exact"
) -> float:
    """W_p between two persistence diagrams.

    The smallest (sum of d^p)^(1/p) over all matchings, where d is the L-infinity distance of two matched
    points and half the persistence of a point that is left to the diagonal; for p = inf the smallest largest
    d, the bottleneck distance. Exact to 1e-9 relative whatever the scale, the same bit for bit when the
    arguments are exchanged, and 0.0 exactly when the diagrams are equal as multisets.

    The first distance of a process compiles, or loads what was compiled before: `compile_kernels` does it ahead.

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

    Example:
        >>> wasserstein_distance([[0, 4], [1, 2]], [[0, 5]], order=1)
        1.5
        >>> wasserstein_distance([[0, 4], [1, 2]], [[0, 5]], order=math.inf)
        1.0
    """
    order = check_order(order)
    if engine not in ("exact", "pot"):
        raise ValueError(f'engine must be "exact" or "pot", got {engine!r}: "exact" is the default')
    pair = know(read_diagram("first", first)), know(read_diagram("second", second))
    return float(_distances(*pair, np.array([order]), engine)[0])


def wasserstein_distances(pairs: Sequence[tuple[ArrayLike, ArrayLike]], order: float | Sequence[float] = 2.0) -> Floats:
    """W_p of many pairs of diagrams, for one p or several.

    An array that is part of several pairs is read once, and the orders of a pair share their work: three orders
    at once take about two thirds of the time of three calls.

    Args:
        pairs: Pairs of diagrams, each as `wasserstein_distance` takes them.
        order: p in [1, inf], or several.

    Returns:
        Distances, each equal to that of `wasserstein_distance`: (len(pairs),) for one order, (len(pairs), q) for a
        sequence of q orders.

    Raises:
        ValueError: As `wasserstein_distance`; the text names the pair.

    Example:
        >>> pairs = [([[0, 4]], [[0, 5]]), ([[0, 4]], [])]
        >>> wasserstein_distances(pairs)
        array([1., 2.])
        >>> wasserstein_distances([([[0, 4], [1, 2]], [[0, 5]])], order=(1, math.inf))
        array([[1.5, 1. ]])
    """
    wanted = order if isinstance(order, Sequence) else [order]
    orders = np.array([check_order(each) for each in wanted])
    held = [(first, second) for first, second in pairs]  # no identity is given twice while all are held
    read: dict[int, Known] = {}
    for index, pair in enumerate(held):
        for place, value in enumerate(pair):
            if id(value) not in read:
                read[id(value)] = know(read_diagram(f"pairs[{index}][{place}]", value))
    found = np.empty((len(held), len(orders)))
    for index, (first, second) in enumerate(held):
        found[index] = _distances(read[id(first)], read[id(second)], orders, "exact")
    return found if wanted is order else found[:, 0]


def combine_dimensions(distances: Iterable[float], order: float) -> float:
    """W_p of diagrams with labelled points, from their distances in each homology dimension.

    Args:
        distances: One distance >= 0 for each dimension; NaN stands for one that could not be computed.
        order: p in [1, inf], the same as that of the distances.

    Returns:
        (sum of W_k^p)^(1/p), for p = inf the largest; NaN if any distance is NaN; 0.0 for none.

    Raises:
        ValueError: If a distance is negative or `order` is out of range.

    Example:
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


def compile_kernels() -> None:
    """Compile all that the distances need, or load it from the cache of an earlier process.

    Takes some seconds the first time after an installation and a fraction of one from then on. A training that
    calls this before it starts never waits for a compiler within an epoch.
    """
    for births in ([0.0, 0.0], [0.0, 1.0]):
        wasserstein_distance(np.array([births, [3.0, 4.0]]).T, [[0.0, 5.0]], order=1.0)


def _distances(first: Known, second: Known, orders: Floats, engine: str) -> Floats:
    """Distances of two diagrams, shape of `orders`."""
    if first.key == second.key:
        return np.zeros(len(orders))
    one, other, exponent = normalize(first, second)
    if engine == "pot":
        from .transport import diagram_transport

        values = np.array([diagram_transport(one, other, order) for order in orders.tolist()])
    else:
        values = _exact(one, other, orders)
    if exponent == 0:
        return values
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(values, exponent))


def _exact(first: Floats, second: Floats, orders: Floats) -> Floats:
    if not len(first):
        return np.array([p_norm(half_persistence(second), order) for order in orders.tolist()])
    if on_one_line(first, second):
        from .line import line_distances

        return line_distances(first, second, orders)
    from .plane import plane_distances

    return plane_distances(first, second, orders)
