"""The persistence engines; only this module imports RedZeD, giotto-tda's engine, Ripser and GUDHI."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from lightning_topolip.arguments import require_one_of

Engine = Literal["auto", "redzed", "giotto", "ripser", "gudhi"]
ENGINES: tuple[str, ...] = get_args(Engine)

Diagram: TypeAlias = npt.NDArray[np.float64]
Diagrams: TypeAlias = dict[int, Diagram]
Matrix: TypeAlias = npt.NDArray[np.float32]

FASTEST: Engine = "redzed"
REFERENCE: Engine = "giotto"


class EngineError(RuntimeError):
    """An engine failed on a valid distance matrix."""


class _Package(NamedTuple):
    """Where an engine comes from, and whether it releases the interpreter's lock while it computes."""

    name: str
    module: str
    releases_lock: bool


_PACKAGES = {
    "redzed": _Package("redzed-tda", "redzed_tda", releases_lock=True),
    "giotto": _Package("giotto-tda", "gph", releases_lock=False),
    "ripser": _Package("ripser", "ripser", releases_lock=False),
    "gudhi": _Package("gudhi", "gudhi.sklearn", releases_lock=True),
}


def require_engine(engine: str) -> None:
    """Raise before a training starts if an engine is unknown or not installed."""
    require_one_of("engine", engine, ENGINES)
    _import(FASTEST if engine == "auto" else engine)


def releases_lock(engine: str) -> bool:
    """Whether an engine, by its own name, releases the interpreter's lock, so that threads run beside it."""
    return _PACKAGES[engine].releases_lock


def compute_diagrams(matrix: Matrix, dimensions: Sequence[int], engine: str) -> Diagrams:
    """Compute diagrams by one engine.

    Args:
        matrix: Symmetric, finite distances >= 0 with a zero diagonal, shape ``(n, n)``, n >= 1.
        dimensions: Homology dimensions.
        engine: Its own name, not ``"auto"``.

    Returns:
        As `persistence_diagrams`.

    Raises:
        ModuleNotFoundError: If its package is not installed.
        EngineError: If it fails.
    """
    highest = max(dimensions)
    intervals = _called(engine, _INTERVALS[engine], matrix, highest) if len(matrix) > 1 else {}
    return {dimension: _canonical(intervals.get(dimension)) for dimension in dimensions}


def compute_simplices(matrix: Matrix, highest: int) -> list[list[tuple[list[int], list[int]]]]:
    """Compute by RedZeD, for each dimension, the vertices at which each class is born and dies (none if it does not).

    Raises:
        EngineError: If it fails.
    """

    def simplices(matrix: Matrix, highest: int) -> Any:
        return _import("redzed").rips(matrix, maxdim=highest, simplex_pairs=True)[1]

    pairs: list[list[tuple[list[int], list[int]]]] = _called("redzed", simplices, matrix, highest)
    return pairs


def _called(engine: str, function: Callable[[Matrix, int], Any], matrix: Matrix, highest: int) -> Any:
    _import(engine)
    try:
        return function(matrix, highest)
    except Exception as error:
        raise EngineError(
            f"Argument `engine` must be an engine that can compute these diagrams, got {engine!r}, which raised "
            f"{error!r}; choose another one of {_others(engine)}."
        ) from error


def _canonical(points: npt.ArrayLike | None) -> Diagram:
    """Finite points above the diagonal, in lexicographic order."""
    if points is None:
        return np.empty((0, 2))
    diagram = np.array(points, dtype=np.float64).reshape(-1, 2)
    diagram = diagram[np.isfinite(diagram[:, 1]) & (diagram[:, 0] < diagram[:, 1])]
    order = np.lexsort((diagram[:, 1], diagram[:, 0]))
    return np.ascontiguousarray(diagram[order])


def _import(engine: str) -> ModuleType:
    package = _PACKAGES[engine]
    try:
        return importlib.import_module(package.module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Argument `engine` must name an installed engine, got {engine!r}; "
            f"run `pip install {package.name}` or choose another one of {_others(engine)}."
        ) from error


def _others(engine: str) -> list[str]:
    return [name for name in ENGINES if name not in (engine, "auto")]


def _redzed(matrix: Matrix, highest: int) -> dict[int, npt.ArrayLike]:
    return dict(enumerate(_import("redzed").rips(matrix, maxdim=highest)))


def _giotto(matrix: Matrix, highest: int) -> dict[int, npt.ArrayLike]:
    result = _import("giotto").ripser_parallel(matrix, maxdim=highest, metric="precomputed", n_threads=1)
    return dict(enumerate(result["dgms"]))


def _ripser(matrix: Matrix, highest: int) -> dict[int, npt.ArrayLike]:
    result = _import("ripser").ripser(matrix, maxdim=highest, distance_matrix=True)
    return dict(enumerate(result["dgms"]))


def _gudhi(matrix: Matrix, highest: int) -> dict[int, npt.ArrayLike]:
    estimator = _import("gudhi").RipsPersistence(
        list(range(highest + 1)), input_type="full distance matrix", homology_coeff_field=2
    )
    return dict(enumerate(estimator.fit_transform([matrix.astype(np.float64)])[0]))


_INTERVALS: dict[str, Callable[[Matrix, int], dict[int, npt.ArrayLike]]] = {
    "redzed": _redzed,
    "giotto": _giotto,
    "ripser": _ripser,
    "gudhi": _gudhi,
}
