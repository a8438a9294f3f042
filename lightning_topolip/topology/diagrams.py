"""Persistence diagrams of a distance matrix; only this module uses giotto-tda, Ripser and GUDHI."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from lightning_topolip.arguments import require_one_of
from lightning_topolip.topology.matrices import checked_matrix, in_float32

Engine = Literal["giotto", "ripser", "gudhi"]
ENGINES: tuple[str, ...] = get_args(Engine)

Diagram: TypeAlias = npt.NDArray[np.float64]
Diagrams: TypeAlias = dict[int, Diagram]

_HIGHEST_DIMENSION = 3


def persistence_diagrams(
    distances: npt.ArrayLike, dimensions: Sequence[int] = (0, 1), engine: Engine = "giotto"
) -> Diagrams:
    """Compute the Vietoris-Rips persistence diagrams of a distance matrix over the field with two elements.

    The essential class of dimension 0 and points with birth equal to death are dropped, so that all points are finite
    and above the diagonal. All engines get the same float32 matrix and return the same diagrams. Distances that float32
    cannot hold are divided by a power of two before, and births and deaths multiplied by it after.

    Args:
        distances: Distance matrix, shape ``(n, n)``, symmetric, finite, >= 0, zero on the diagonal; an array or a
            tensor of any real dtype.
        dimensions: Homology dimensions, each from 0 to 3.
        engine: ``"giotto"`` (giotto-ph, the engine of giotto-tda, AGPL-3.0), ``"ripser"`` (MIT) or ``"gudhi"`` (MIT
            for its Rips persistence).

    Returns:
        For every dimension an array of shape ``(k, 2)``, float64, with the columns birth and death in the unit of the
        distances and the rows in lexicographic order.

    Raises:
        ValueError: If an argument is not allowed.
        ModuleNotFoundError: If the package of the engine is not installed.

    Source:
        giotto-ph, arXiv:2107.05412; giotto-tda, arXiv:2004.02551; Ripser, DOI 10.1007/s41468-021-00071-5.

    Example:
        >>> import numpy as np
        >>> square = np.array([[0, 1, 2**0.5, 1], [1, 0, 1, 2**0.5], [2**0.5, 1, 0, 1], [1, 2**0.5, 1, 0]])
        >>> persistence_diagrams(square)[1].round(4)
        array([[1.    , 1.4142]])
    """
    matrix, exponent = in_float32(checked_matrix(distances, fewest=1))
    matrix = np.ascontiguousarray(np.maximum(matrix, matrix.T))
    dimensions = _checked_dimensions(dimensions)
    require_one_of("engine", engine, ENGINES)
    diagrams = _ENGINES[engine](matrix, max(dimensions)) if len(matrix) > 1 else {}
    return {dimension: np.ldexp(_canonical(diagrams.get(dimension)), exponent) for dimension in dimensions}


def scaled(diagrams: Mapping[int, Diagram], factor: float) -> Diagrams:
    """Multiply every birth and death: the diagrams of the distance matrix times ``factor``.

    Example:
        >>> import numpy as np
        >>> scaled({0: np.array([[0.0, 2.0]])}, 0.5)
        {0: array([[0., 1.]])}
    """
    return {dimension: points * factor for dimension, points in diagrams.items()}


def require_engine(engine: str) -> None:
    """Raise before a training starts if an engine is unknown or not installed."""
    require_one_of("engine", engine, ENGINES)
    _import(engine)


def _checked_dimensions(dimensions: Sequence[int]) -> tuple[int, ...]:
    distinct = set(dimensions)
    if not distinct or len(distinct) < len(dimensions) or not distinct <= set(range(_HIGHEST_DIMENSION + 1)):
        raise ValueError(
            "Argument `dimensions` must be different whole numbers from 0 to "
            f"{_HIGHEST_DIMENSION}, got {dimensions!r}; pass for example (0, 1)."
        )
    return tuple(dimensions)


def _canonical(points: npt.ArrayLike | None) -> Diagram:
    if points is None:
        return np.empty((0, 2))
    diagram = np.array(points, dtype=np.float64).reshape(-1, 2)
    diagram = diagram[np.isfinite(diagram[:, 1]) & (diagram[:, 0] < diagram[:, 1])]
    order = np.lexsort((diagram[:, 1], diagram[:, 0]))
    return np.ascontiguousarray(diagram[order])


def _import(engine: str) -> ModuleType:
    package, module = {
        "giotto": ("giotto-tda", "gph"),
        "ripser": ("ripser", "ripser"),
        "gudhi": ("gudhi", "gudhi.sklearn"),
    }[engine]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        others = [name for name in ENGINES if name != engine]
        raise ModuleNotFoundError(
            f"Argument `engine` must name an installed engine, got {engine!r}; "
            f"run `pip install {package}` or choose another one of {others}."
        ) from error


def _giotto(matrix: npt.NDArray[np.float32], highest: int) -> dict[int, npt.ArrayLike]:
    result = _import("giotto").ripser_parallel(matrix, maxdim=highest, metric="precomputed", n_threads=1)
    return dict(enumerate(result["dgms"]))


def _ripser(matrix: npt.NDArray[np.float32], highest: int) -> dict[int, npt.ArrayLike]:
    result = _import("ripser").ripser(matrix, maxdim=highest, distance_matrix=True)
    return dict(enumerate(result["dgms"]))


def _gudhi(matrix: npt.NDArray[np.float32], highest: int) -> dict[int, npt.ArrayLike]:
    estimator = _import("gudhi").RipsPersistence(
        list(range(highest + 1)), input_type="full distance matrix", homology_coeff_field=2
    )
    return dict(enumerate(estimator.fit_transform([matrix.astype(np.float64)])[0]))


_ENGINES: dict[str, Callable[[npt.NDArray[np.float32], int], dict[int, npt.ArrayLike]]] = {
    "giotto": _giotto,
    "ripser": _ripser,
    "gudhi": _gudhi,
}
