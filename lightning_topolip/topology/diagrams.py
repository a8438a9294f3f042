"""Persistence diagrams of a distance matrix, and the pairs of points that make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lightning_topolip.arguments import require_one_of
from lightning_topolip.topology.engine_choice import process_choice
from lightning_topolip.topology.engines import (
    ENGINES,
    Diagrams,
    Engine,
    Matrix,
    compute_diagrams,
    compute_simplices,
)
from lightning_topolip.topology.matrices import float32_matrix

_HIGHEST_DIMENSION = 3

Edges = npt.NDArray[np.int64]


def persistence_diagrams(
    distances: npt.ArrayLike, dimensions: Sequence[int] = (0, 1), engine: Engine = "auto"
) -> Diagrams:
    """Compute the Vietoris-Rips persistence diagrams of a distance matrix over the field with two elements.

    The essential class of dimension 0 and points with birth equal to death are dropped, so that all points are finite
    and above the diagonal. All engines get the same float32 matrix and return the same diagrams. Distances that float32
    cannot hold are divided by a power of two before, and births and deaths multiplied by it after.

    Args:
        distances: Distance matrix, shape ``(n, n)``, symmetric, finite, >= 0, zero on the diagonal; an array or a
            tensor of any real dtype.
        dimensions: Homology dimensions, each from 0 to 3.
        engine: ``"auto"``: RedZeD, the fastest one, whose first diagrams in a process are compared with giotto-tda's,
            which takes over if they differ, see `EngineChoice`. By name: ``"redzed"`` (MIT), ``"giotto"`` (giotto-ph,
            the engine of giotto-tda, AGPL-3.0), ``"ripser"`` (MIT) or ``"gudhi"`` (MIT for its Rips persistence).

    Returns:
        For every dimension an array of shape ``(k, 2)``, float64, with the columns birth and death in the unit of the
        distances and the rows in lexicographic order.

    Raises:
        ValueError: If an argument is not allowed.
        ModuleNotFoundError: If the package of the engine is not installed.
        RuntimeError: If the engine fails on a valid matrix.

    Source:
        RedZeD, arXiv:2606.06310; giotto-ph, arXiv:2107.05412; giotto-tda, arXiv:2004.02551; Ripser,
        DOI 10.1007/s41468-021-00071-5.

    Example:
        >>> import numpy as np
        >>> square = np.array([[0, 1, 2**0.5, 1], [1, 0, 1, 2**0.5], [2**0.5, 1, 0, 1], [1, 2**0.5, 1, 0]])
        >>> persistence_diagrams(square)[1].round(4)
        array([[1.    , 1.4142]])
    """
    matrix, exponent = float32_matrix(distances)
    dimensions = _checked_dimensions(dimensions)
    require_one_of("engine", engine, ENGINES)
    return process_choice(engine).run(
        lambda name: diagrams_of_float32(matrix, exponent, dimensions, name), [matrix], dimensions, len(matrix)
    )


def diagrams_of_float32(matrix: Matrix, exponent: int, dimensions: Sequence[int], engine: Engine) -> Diagrams:
    """Compute the diagrams of a result of `float32_matrix`, or of some of its points, by an engine's own name."""
    diagrams = compute_diagrams(matrix, dimensions, engine)
    return {dimension: np.ldexp(points, exponent) for dimension, points in diagrams.items()}


def persistence_edges(
    distances: npt.ArrayLike, dimensions: Sequence[int] = (0, 1), engine: Engine = "auto"
) -> dict[int, Edges]:
    """Find the pairs of points whose distances are the births and deaths of the persistence diagrams.

    They tell which samples make a component or a loop. A birth or death in a diagram is the length of the longest edge
    of a simplex, so that the diagrams are entries of the distance matrix, and gradients reach them through it. Where
    several pairs have the same distance, one of them is returned.

    Args:
        distances: Distance matrix, as in `persistence_diagrams`.
        dimensions: Homology dimensions, each from 0 to 3.
        engine: As in `persistence_diagrams`. RedZeD returns the simplices, whose longest edges are the pairs. Of the
            others' diagrams the pairs are looked up in the matrix; where several are as long, that need not be one
            that makes the class.

    Returns:
        For every dimension an array of shape ``(k, 2, 2)``, int64, with one row per row of `persistence_diagrams` in
        the same order: the two points whose distance is the birth, then the two whose distance is the death. A class
        that is born at 0 has one point twice.

    Raises:
        ValueError: If an argument is not allowed.
        ModuleNotFoundError: If the package of the engine is not installed.
        RuntimeError: If the engine fails on a valid matrix.

    Source:
        RedZeD, arXiv:2606.06310.

    Example:
        >>> import numpy as np
        >>> square = np.array([[0, 1, 2**0.5, 1], [1, 0, 1, 2**0.5], [2**0.5, 1, 0, 1], [1, 2**0.5, 1, 0]])
        >>> (birth, death), = persistence_edges(square)[1]
        >>> float(square[tuple(birth)]), round(float(square[tuple(death)]), 4)
        (1.0, 1.4142)
    """
    matrix, _ = float32_matrix(distances)
    dimensions = _checked_dimensions(dimensions)
    require_one_of("engine", engine, ENGINES)
    return process_choice(engine).run(
        lambda name: _edges_by(name, matrix, dimensions), [matrix], dimensions, len(matrix)
    )


def scaled(diagrams: Mapping[int, npt.NDArray[np.float64]], factor: float) -> Diagrams:
    """Multiply every birth and death: the diagrams of the distance matrix times ``factor``.

    Example:
        >>> import numpy as np
        >>> scaled({0: np.array([[0.0, 2.0]])}, 0.5)
        {0: array([[0., 1.]])}
    """
    return {dimension: points * factor for dimension, points in diagrams.items()}


def _checked_dimensions(dimensions: Sequence[int]) -> tuple[int, ...]:
    distinct = set(dimensions)
    if not distinct or len(distinct) < len(dimensions) or not distinct <= set(range(_HIGHEST_DIMENSION + 1)):
        raise ValueError(
            "Argument `dimensions` must be different whole numbers from 0 to "
            f"{_HIGHEST_DIMENSION}, got {dimensions!r}; pass for example (0, 1)."
        )
    return tuple(dimensions)


def _edges_by(engine: Engine, matrix: Matrix, dimensions: Sequence[int]) -> dict[int, Edges]:
    if engine == "redzed":
        simplices = compute_simplices(matrix, max(dimensions))
        return {dimension: _edges(matrix, simplices[dimension]) for dimension in dimensions}
    diagrams = compute_diagrams(matrix, dimensions, engine)
    return {dimension: _looked_up(matrix, points) for dimension, points in diagrams.items()}


def _looked_up(matrix: Matrix, diagram: npt.NDArray[np.float64]) -> Edges:
    """Pairs of points whose distances are the births and deaths; one point twice for a birth at 0."""
    pairs = np.column_stack(np.triu_indices(len(matrix), k=1))
    lengths = matrix[pairs[:, 0], pairs[:, 1]].astype(np.float64)
    ascending = np.argsort(lengths, kind="stable")
    places = np.searchsorted(lengths[ascending], diagram).clip(max=max(len(pairs) - 1, 0))
    edges = pairs[ascending[places]] if len(pairs) else np.zeros((0, 2, 2), np.int64)
    edges[diagram == 0.0] = 0
    return edges.astype(np.int64)


def _edges(matrix: Matrix, simplices: Sequence[tuple[list[int], list[int]]]) -> Edges:
    """The longest edges of the simplices of every finite class above the diagonal, in the order of the diagram."""
    births = _longest_edges(matrix, [birth for birth, death in simplices if death])
    deaths = _longest_edges(matrix, [death for _, death in simplices if death])
    birth, death = matrix[births[:, 0], births[:, 1]], matrix[deaths[:, 0], deaths[:, 1]]
    above = np.flatnonzero(birth < death)
    order = above[np.lexsort((death[above], birth[above]))]
    return np.stack([births[order], deaths[order]], axis=1)


def _longest_edges(matrix: Matrix, simplices: Sequence[list[int]]) -> Edges:
    """The two ends, the smaller index first, of the longest edge of every simplex; of a point the point twice."""
    if not simplices:
        return np.empty((0, 2), np.int64)
    vertices = np.sort(np.array(simplices, dtype=np.int64), axis=1)
    first, second = np.triu_indices(vertices.shape[1], k=1 if vertices.shape[1] > 1 else 0)
    longest = matrix[vertices[:, first], vertices[:, second]].argmax(axis=1)
    rows = np.arange(len(vertices))
    return np.stack([vertices[rows, first[longest]], vertices[rows, second[longest]]], axis=1)
