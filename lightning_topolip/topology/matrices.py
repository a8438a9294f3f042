"""Distance matrices: what they must be, how finely they resolve, and their scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

RESOLUTION = 1e-5  # `distance_matrix` promises errors below this share of the diameter


def checked_matrix(
    distances: npt.ArrayLike, name: str = "distances", *, fewest: int = 2, dtype: npt.DTypeLike = np.float64
) -> npt.NDArray[Any]:
    """Convert to a distance matrix of at least ``fewest`` points: finite, >= 0, zero diagonal, symmetric.

    Symmetric means up to `RESOLUTION`.

    Raises:
        ValueError: If ``distances`` is not such a matrix; the text calls it ``name``.
    """
    matrix = np.asarray(distances, dtype=dtype)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < fewest:
        requirement, actual = f"have shape (n, n) with n >= {fewest}", f"{matrix.shape}"
    elif not (np.isfinite(matrix) & (matrix >= 0)).all() or matrix.diagonal().any():
        requirement = "be >= 0 and finite with a zero diagonal"
        actual = f"values from {matrix.min()} to {matrix.max()}, on the diagonal up to {matrix.diagonal().max()}"
    elif (asymmetry := np.abs(matrix - matrix.T).max()) > RESOLUTION * matrix.max():
        requirement, actual = "be symmetric", f"entries that differ by up to {asymmetry}"
    else:
        return matrix
    raise ValueError(f"Argument `{name}` must {requirement}, got {actual}; give the matrix of `distance_matrix`.")


def scale(matrix: npt.NDArray[Any]) -> float:
    """Mean of the off-diagonal distances, 0 for a single point.

    Example:
        >>> scale(np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]))
        2.0
    """
    n = len(matrix)
    return float(matrix.sum(dtype=np.float64)) / (n * (n - 1)) if n > 1 else 0.0
