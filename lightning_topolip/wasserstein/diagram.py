"""A persistence diagram as the solvers want it: float64, sorted, finite, without points on the diagonal."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_LARGE, _SMALL = 2.0**1000, 2.0**-900


def read_diagram(name: str, value: ArrayLike) -> Floats:
    """Check a diagram and bring it to its canonical form.

    Args:
        name: What the caller calls the argument, for the error's text.
        value: (k, 2) array-like of (birth, death), any order, any real dtype; [] is the empty diagram.

    Returns:
        A new (k', 2) array, sorted by birth and then death, points with birth == death left out.

    Raises:
        ValueError: If the shape is not (k, 2), or a point is NaN, infinite or below the diagonal.

    >>> read_diagram("first", [[1, 1], [0, 3], [0, 2]])
    array([[0., 2.],
           [0., 3.]])
    """
    points = read_numbers(name, value, "a (k, 2) array of finite (birth, death)")
    if points.ndim == 1 and points.size == 0:
        return np.empty((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"{name} must be a (k, 2) array of finite (birth, death), got shape {points.shape}: "
            "pass one homology dimension at a time, as two columns"
        )
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} must hold finite points only, got {_shown(points, bad)}: "
            "remove the essential classes (death = inf) and look for NaN upstream"
        )
    bad = points[:, 1] < points[:, 0]
    if bad.any():
        raise ValueError(
            f"{name} must hold points with birth <= death, got {_shown(points, bad)}: "
            "columns are (birth, death) in that order"
        )
    points = points[points[:, 0] < points[:, 1]] + 0.0  # no negative zeros: equal diagrams have equal bytes
    return np.ascontiguousarray(points[np.lexsort((points[:, 1], points[:, 0]))])


def read_numbers(name: str, value: ArrayLike, allowed: str) -> Floats:
    """Convert an array-like of real numbers to float64.

    Raises:
        ValueError: If it is ragged, or holds anything but real numbers.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"dtype {array.dtype}")
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} must be {allowed}, got {type(value).__name__} ({error}): pass real numbers, "
            "for a tensor tensor.detach().cpu().numpy()"
        ) from error


def normalize(first: Floats, second: Floats) -> tuple[Floats, Floats, int]:
    """Scale two canonical diagrams away from overflow by a power of two, which is exact, and order the pair.

    Returns:
        The two diagrams in an order that does not depend on which came first, and the exponent e: the true
        coordinates are the returned ones times 2^e.
    """
    largest = max((float(np.abs(points).max()) for points in (first, second) if points.size), default=0.0)
    exponent = 0 if largest == 0.0 or _SMALL < largest < _LARGE else int(np.frexp(largest)[1])
    if exponent:
        first, second = np.ldexp(first, -exponent), np.ldexp(second, -exponent)
    if (len(second), second.tobytes()) < (len(first), first.tobytes()):
        first, second = second, first
    return first, second, exponent


def half_persistence(points: Floats) -> Floats:
    """Distances of (k, 2) points to the diagonal in the L-infinity metric, shape (k,)."""
    return np.asarray((points[:, 1] - points[:, 0]) / 2.0)


def _shown(points: Floats, bad: NDArray[np.bool_]) -> str:
    index = int(np.flatnonzero(bad)[0])
    birth, death = points[index].tolist()
    return f"({birth}, {death}) at index {index} and {int(bad.sum()) - 1} more like it"
