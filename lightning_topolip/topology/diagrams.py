"""From a distance matrix to its persistence diagrams: the only door to giotto-tda, Ripser and GUDHI."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.matrices import checked_matrix

Engine = Literal["giotto", "ripser", "gudhi"]
ENGINES: tuple[str, ...] = get_args(Engine)

Diagram: TypeAlias = npt.NDArray[np.float64]
Diagrams: TypeAlias = dict[int, Diagram]

_HIGHEST_DIMENSION = 3


def persistence_diagrams(
    distances: npt.ArrayLike, dimensions: Sequence[int] = (0, 1), engine: Engine = "giotto"
) -> Diagrams:
    """Compute the Vietoris-Rips persistence diagrams of a distance matrix over the field with two elements.

    The essential class of dimension 0 and points with birth equal to death are left out: all that is returned is
    finite and above the diagonal. All engines are handed the same float32 matrix and give the same diagrams.

    Args:
        distances: Distance matrix, shape ``(n, n)``, symmetric, finite, not negative, zero on the diagonal.
        dimensions: Homology dimensions, each from 0 to 3.
        engine: ``"giotto"`` (giotto-ph, the engine of giotto-tda, AGPL-3.0), ``"ripser"`` (MIT) or ``"gudhi"`` (MIT
            for its Rips persistence).

    Returns:
        For every dimension an array of shape ``(k, 2)``, float64, the columns birth and death in the unit of the
        distances, rows in lexicographic order.

    Raises:
        ValueError: If an argument is not as described.
        ModuleNotFoundError: If the package of the engine is not installed.

    Source:
        giotto-ph, arXiv:2107.05412; giotto-tda, arXiv:2004.02551; Ripser, DOI 10.1007/s41468-021-00071-5.

    Example:
        >>> import numpy as np
        >>> square = np.array([[0, 1, 2**0.5, 1], [1, 0, 1, 2**0.5], [2**0.5, 1, 0, 1], [1, 2**0.5, 1, 0]])
        >>> persistence_diagrams(square)[1].round(4)
        array([[1.    , 1.4142]])
    """
    matrix = checked_matrix(distances, fewest=1, dtype=np.float32)
    matrix = np.ascontiguousarray(np.maximum(matrix, matrix.T))
    wanted = _validated_dimensions(dimensions)
    if engine not in _ENGINES:
        raise ValueError(f"Argument `engine` must be one of {ENGINES}, got {engine!r}.")
    found = _ENGINES[engine](matrix, max(wanted)) if len(matrix) > 1 else {}
    return {dimension: _canonical(found.get(dimension)) for dimension in wanted}


def scaled(diagrams: Mapping[int, Diagram], factor: float) -> Diagrams:
    """Multiply every birth and death: the diagrams of the distance matrix times ``factor``.

    Args:
        diagrams: Diagrams by dimension, each of shape ``(k, 2)``.
        factor: A positive number, or NaN where the scale is not defined.

    Returns:
        New diagrams, same shapes.

    Example:
        >>> import numpy as np
        >>> scaled({0: np.array([[0.0, 2.0]])}, 0.5)
        {0: array([[0., 1.]])}
    """
    return {dimension: points * factor for dimension, points in diagrams.items()}


def require_engine(engine: str) -> None:
    """Raise now, and not in the middle of a training, if an engine is unknown or not installed.

    Args:
        engine: Name of an engine.

    Raises:
        ValueError: If the engine is unknown.
        ModuleNotFoundError: If its package is not installed.
    """
    if engine not in _ENGINES:
        raise ValueError(f"Argument `engine` must be one of {ENGINES}, got {engine!r}.")
    _import(engine)


def _validated_dimensions(dimensions: Sequence[int]) -> tuple[int, ...]:
    wanted = tuple(dimensions)
    if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(range(_HIGHEST_DIMENSION + 1)):
        raise ValueError(
            "Argument `dimensions` must be different whole numbers from 0 to "
            f"{_HIGHEST_DIMENSION}, such as (0, 1), got {dimensions!r}."
        )
    return wanted


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
            f"Argument `engine={engine!r}` needs the package {package!r}: `pip install {package}`, "
            f"or choose another engine of {others}."
        ) from error


def _giotto(matrix: npt.NDArray[np.float32], highest: int) -> dict[int, npt.ArrayLike]:
    found = _import("giotto").ripser_parallel(matrix, maxdim=highest, metric="precomputed", n_threads=1)
    return dict(enumerate(found["dgms"]))


def _ripser(matrix: npt.NDArray[np.float32], highest: int) -> dict[int, npt.ArrayLike]:
    found = _import("ripser").ripser(matrix, maxdim=highest, distance_matrix=True)
    return dict(enumerate(found["dgms"]))


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
