"""Distance matrices: what they must be, how finely they resolve, and their scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lightning_topolip.wasserstein.diagram import read_numbers

_SAFE_EXPONENT = 100  # far from the largest float32, 2^128, and as far as can be from the smallest, 2^-126

RESOLUTION = 1e-5  # `distance_matrix` promises errors below this share of the diameter


def checked_matrix(distances: npt.ArrayLike, name: str = "distances", *, fewest: int = 2) -> npt.NDArray[np.float64]:
    """Convert to a float64 distance matrix of at least ``fewest`` points: finite, >= 0, zero diagonal, symmetric.

    Symmetric means up to `RESOLUTION`. A tensor is detached and copied to the CPU.

    Raises:
        ValueError: If ``distances`` is not such a matrix; the text calls it ``name``.
    """
    matrix = read_numbers(name, distances, "a distance matrix")
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


def float32_matrix(distances: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], int]:
    """Convert a distance matrix of one point or more to the one that engines take: float32, symmetric to the bit.

    Returns:
        The matrix and the exponent e: the true distances are the returned ones times 2^e.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.
    """
    matrix, exponent = in_float32(checked_matrix(distances, fewest=1))
    return np.ascontiguousarray(np.maximum(matrix, matrix.T)), exponent


def in_float32(matrix: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float32], int]:
    """Convert a checked matrix to float32, divided by a power of two if its entries would overflow or vanish there.

    Returns:
        The matrix and the exponent e: the true distances are the returned ones times 2^e, which is exact. Only entries
        below 2^-226 (1e-68) of the largest still become 0.

    Example:
        >>> converted, exponent = in_float32(np.array([[0.0, 2.0**-166], [2.0**-166, 0.0]]))
        >>> float(converted[0, 1]) * 2.0**exponent == 2.0**-166
        True
    """
    limits = np.finfo(np.float32)
    smallest = matrix.min(initial=np.inf, where=matrix > 0)
    if matrix.max() <= limits.max and smallest >= limits.tiny:
        return matrix.astype(np.float32), 0
    exponent = int(np.frexp(matrix.max())[1]) - _SAFE_EXPONENT
    return np.ldexp(matrix, -exponent).astype(np.float32), exponent


def scale(matrix: npt.NDArray[Any]) -> float:
    """Mean of the off-diagonal distances, 0 for a single point.

    Example:
        >>> scale(np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]))
        2.0
    """
    n = len(matrix)
    return float(matrix.sum(dtype=np.float64)) / (n * (n - 1)) if n > 1 else 0.0
