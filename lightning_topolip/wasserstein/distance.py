"""The distance between two diagrams: the choice of the solver, and the combination of several dimensions."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lightning_topolip.wasserstein.diagram import (
    NO_MATES,
    Floats,
    KeyedDiagram,
    half_persistence,
    keyed,
    normalize,
    on_one_line,
    read_diagram,
)
from lightning_topolip.wasserstein.p_norm import check_order, p_norm


def wasserstein_distance(
    first: ArrayLike, second: ArrayLike, order: float = 2.0, *, engine: Literal["exact", "pot"] = "exact"
) -> float:
    """Compute the Wasserstein distance W_p between two persistence diagrams.

    W_p is the smallest (sum of d^p)^(1/p) over all matchings, where d is the L-infinity distance of two matched points
    and half the persistence of an unmatched point. For p = inf it is the smallest possible largest d, the bottleneck
    distance. The result is exact to 1e-9 relative at any scale, the same bit for bit when the arguments are exchanged,
    and 0.0 exactly when the diagrams are equal as multisets.

    The first distance of a process compiles the solvers or loads them from a cache. `compile_kernels` does that ahead.

    Args:
        first: (k, 2) finite (birth, death) of one homology dimension, in any order; [] is the empty diagram.
            Points with birth == death do not count.
        second: (m, 2), likewise.
        order: p in [1, inf].
        engine: "exact" for the solvers of this package, "pot" for a reference: the full transport problem solved by
            POT, which is slow and takes finite orders only.

    Returns:
        The distance, in the unit of the coordinates, >= 0.

    Raises:
        ValueError: If a diagram has another shape or a point that is NaN, infinite or below the diagonal, or if
            `order` or `engine` is not allowed.
        RuntimeError: If POT does not converge (engine="pot" only).

    Source:
        Kerber, Morozov, Nigmetov, arXiv:1606.03357; stability: DOI 10.1007/s00454-006-1276-5.

    Example:
        >>> wasserstein_distance([[0, 4], [1, 2]], [[0, 5]], order=1)
        1.5
        >>> wasserstein_distance([[0, 4], [1, 2]], [[0, 5]], order=math.inf)
        1.0
    """
    order = check_order(order)
    if engine not in ("exact", "pot"):
        raise ValueError(f'Argument `engine` must be "exact" or "pot", got {engine!r}; "exact" is the default.')
    pair = keyed(read_diagram("first", first)), keyed(read_diagram("second", second))
    return float(_distances(*pair, np.array([order]), engine)[0])


def wasserstein_distances(pairs: Sequence[tuple[ArrayLike, ArrayLike]], order: float | Sequence[float] = 2.0) -> Floats:
    """Compute `wasserstein_distance` of many pairs of diagrams, for one order or several.

    An array that is part of several pairs is read once, and the orders share work: three orders in one call take about
    two thirds of the time of three calls.

    Args:
        pairs: Pairs of diagrams, each as in `wasserstein_distance`.
        order: p in [1, inf], or a sequence of q such orders.

    Returns:
        Distances, shape (len(pairs),) for one order and (len(pairs), q) for a sequence.

    Raises:
        ValueError: As `wasserstein_distance`; the text names the pair.

    Example:
        >>> pairs = [([[0, 4]], [[0, 5]]), ([[0, 4]], [])]
        >>> wasserstein_distances(pairs)
        array([1., 2.])
        >>> wasserstein_distances([([[0, 4], [1, 2]], [[0, 5]])], order=(1, math.inf))
        array([[1.5, 1. ]])
    """
    orders = np.array([check_order(each) for each in (order if isinstance(order, Sequence) else [order])])
    kept = [(first, second) for first, second in pairs]  # as long as all are kept, their ids are unique
    diagrams: dict[int, KeyedDiagram] = {}
    for index, pair in enumerate(kept):
        for place, value in enumerate(pair):
            if id(value) not in diagrams:
                diagrams[id(value)] = keyed(read_diagram(f"pairs[{index}][{place}]", value))
    distances = np.empty((len(kept), len(orders)))
    for index, (first, second) in enumerate(kept):
        distances[index] = _distances(diagrams[id(first)], diagrams[id(second)], orders, "exact")
    return distances if isinstance(order, Sequence) else distances[:, 0]


def combine_dimensions(distances: Iterable[float], order: float) -> float:
    """Combine the distances in each homology dimension into that of all: (sum of W_k^p)^(1/p), the largest for p = inf.

    NaN if any distance is NaN, 0.0 for none.

    Example:
        >>> combine_dimensions([3.0, 4.0], 2)
        5.0
    """
    order = check_order(order)
    values = np.array([float(distance) for distance in distances])
    if np.isnan(values).any():
        return math.nan
    if (values < 0).any():
        raise ValueError(
            f"Argument `distances` must be >= 0 or NaN, got {values.min()}; pass values of wasserstein_distance."
        )
    return p_norm(values, order)


def compile_kernels() -> None:
    """Compile the solvers, or load them from the cache of an earlier process.

    This takes some seconds after an installation and less than one second from then on. A training that calls it first
    never waits for the compiler within an epoch.
    """
    for births in ([0.0, 0.0], [0.0, 1.0]):
        wasserstein_distance(np.array([births, [3.0, 4.0]]).T, [[0.0, 5.0]], order=1.0)


def kernels_are_cached() -> bool:
    """Whether `compile_kernels` only has to load the solvers, which an earlier process has compiled and cached."""
    from lightning_topolip.wasserstein.compilation import is_cached
    from lightning_topolip.wasserstein.line_alignment import line_distances
    from lightning_topolip.wasserstein.plane_matching import plane_distances

    return is_cached(line_distances) and is_cached(plane_distances)


def _distances(first: KeyedDiagram, second: KeyedDiagram, orders: Floats, engine: str) -> Floats:
    """Distances of two diagrams, one per order."""
    if first.key == second.key:
        return np.zeros(len(orders))
    left, right, exponent = normalize(first, second)
    if engine == "pot":
        from lightning_topolip.wasserstein.transport import diagram_transport

        values = np.array([diagram_transport(left, right, order) for order in orders.tolist()])
    else:
        values = _exact(left, right, orders)
    if exponent == 0:
        return values
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(values, exponent))


def _exact(first: Floats, second: Floats, orders: Floats) -> Floats:
    if not len(first):
        return np.array([p_norm(half_persistence(second), order) for order in orders.tolist()])
    if on_one_line(first, second):
        from lightning_topolip.wasserstein.line_alignment import line_distances

        return line_distances(first, second, orders, NO_MATES)
    from lightning_topolip.wasserstein.plane_matching import plane_distances

    return plane_distances(first, second, orders, NO_MATES)
