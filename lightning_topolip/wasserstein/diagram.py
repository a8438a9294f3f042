"""Canonical persistence diagrams: float64, sorted, finite, without points on the diagonal."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

DIAGONAL = -1  # the partner of a point that is matched with the diagonal
NO_MATES: Indices = np.empty((2, 0), np.int64)  # for solvers whose matching is not wanted

_LARGE, _SMALL = 2.0**1000, 2.0**-900


def read_diagram(name: str, value: ArrayLike) -> Floats:
    """Check the argument `name`, a diagram in any order and real dtype, and return it in canonical form.

    Raises:
        ValueError: If the shape is not (k, 2), or a point is NaN, infinite or below the diagonal.

    Example:
        >>> read_diagram("first", [[1, 1], [0, 3], [0, 2]])
        array([[0., 2.],
               [0., 3.]])
    """
    points, above = read_points(name, value)
    points = np.ascontiguousarray(points[above]) + 0.0  # no negative zeros: equal diagrams have equal bytes
    return np.sort(points.view(np.complex128), axis=0).view(np.float64)  # by birth and then death


def read_points(name: str, value: ArrayLike) -> tuple[Floats, NDArray[np.bool_] | slice]:
    """Check the argument `name` as `read_diagram` does; return its points as they come, and which are off the diagonal.

    The second result indexes the rows of the first.
    """
    points = read_numbers(name, value, "a (k, 2) array of finite (birth, death)")
    if points.ndim == 1 and points.size == 0:
        points = np.empty((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"Argument `{name}` must be a (k, 2) array of finite (birth, death), got shape {points.shape}; "
            "pass one homology dimension at a time, as two columns."
        )
    above = points[:, 0] < points[:, 1]
    if not above.all():  # some on the diagonal, below it, or NaN
        _check_points(name, points)
        return points, above
    if not np.isfinite(points).all():
        _check_points(name, points)
    return points, slice(None)


def read_numbers(name: str, value: ArrayLike, allowed: str, *, complex_as_pairs: bool = False) -> Floats:
    """Convert the argument `name`, an array-like of real numbers or a tensor on any device, to float64.

    With `complex_as_pairs`, a complex number becomes two neighbours along the last axis.

    Raises:
        ValueError: If it is ragged, or holds anything but real numbers.
    """
    try:
        array = _read_array(value)
        if complex_as_pairs and array.dtype.kind == "c" and array.ndim:
            array = np.ascontiguousarray(array).view(array.real.dtype)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"dtype {array.dtype}")
        if array.dtype == np.float64:
            return array.copy()
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"Argument `{name}` must be {allowed}, got {type(value).__name__} ({error}); pass real numbers."
        ) from error


def _read_array(value: Any) -> NDArray[Any]:
    """Convert an array-like or a tensor, whatever its device, gradient or precision, without needing its library."""
    tensor = value.detach().cpu() if hasattr(value, "detach") else value
    try:
        return np.asarray(tensor)
    except TypeError:  # numpy has no such dtype, bfloat16 for example
        return np.asarray(tensor.double()) if hasattr(tensor, "double") else np.asarray(tensor, dtype=np.float64)


class KeyedDiagram(NamedTuple):
    """A canonical diagram with a key that identifies it.

    Attributes:
        points: (k, 2) canonical diagram.
        key: Its size and bytes: the same for equal diagrams only; orders the others.
        largest: Largest absolute coordinate, 0.0 if there is none.
    """

    points: Floats
    key: tuple[int, bytes]
    largest: float


def keyed(points: Floats) -> KeyedDiagram:
    """Add the key and the largest coordinate to a canonical diagram."""
    largest = max(-float(points[0, 0]), float(points[:, 1].max())) if points.size else 0.0
    return KeyedDiagram(points, (len(points), points.tobytes()), largest)


def normalize(first: KeyedDiagram, second: KeyedDiagram) -> tuple[Floats, Floats, int]:
    """Order a pair by key and scale it away from overflow by a power of two, which is exact.

    Returns the points of both and the exponent e: the true coordinates are the returned ones times 2^e.
    """
    if second.key < first.key:
        first, second = second, first
    largest = max(first.largest, second.largest)
    if largest == 0.0 or _SMALL < largest < _LARGE:
        return first.points, second.points, 0
    exponent = int(np.frexp(largest)[1])
    return np.ldexp(first.points, -exponent), np.ldexp(second.points, -exponent), exponent


def on_one_line(first: Floats, second: Floats) -> bool:
    """Whether two canonical diagrams are not empty and all their points have the same birth."""
    if not len(first) or not len(second):
        return False
    return bool(first[0, 0] == first[-1, 0] == second[0, 0] == second[-1, 0])  # sorted by birth


def half_persistence(points: Floats) -> Floats:
    """Distances of (k, 2) points to the diagonal in the L-infinity metric, shape (k,)."""
    return np.asarray((points[:, 1] - points[:, 0]) / 2.0)


def _check_points(name: str, points: Floats) -> None:
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise ValueError(
            f"Argument `{name}` must hold finite points only, got {_first_of(points, bad)}; "
            "remove the essential classes (death = inf) and look for NaN upstream."
        )
    bad = points[:, 1] < points[:, 0]
    if bad.any():
        raise ValueError(
            f"Argument `{name}` must hold points with birth <= death, got {_first_of(points, bad)}; "
            "the columns are (birth, death) in that order."
        )


def _first_of(points: Floats, bad: NDArray[np.bool_]) -> str:
    index = int(np.flatnonzero(bad)[0])
    birth, death = points[index].tolist()
    return f"({birth}, {death}) at index {index} and {int(bad.sum()) - 1} more like it"
