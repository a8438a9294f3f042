"""The choice of the engine: RedZeD, checked at work against giotto-tda's engine, which takes over if they differ."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.engines import FASTEST, REFERENCE, Engine, EngineError, Matrix, compute_diagrams
from lightning_topolip.topology.matrices import float32_matrix
from lightning_topolip.topology.slow_engines import MINUTE, PILOT, forecast

Result = TypeVar("Result")

_CHECKED_POINTS = (96, 96, 48, 24)  # by the highest dimension: at most some 50 ms of giotto-tda's engine


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


class EngineChoice:
    """The engine of a series of analyses.

    A named engine is what it says. ``"auto"`` is RedZeD. The diagrams of the first matrix that it meets, on at most 96
    of its points, are computed by giotto-tda's engine as well, where that is installed. If they differ in a single bit,
    or if RedZeD raises, then or later, giotto-tda's engine takes over, with one warning. Any other engine than RedZeD
    that is expected to take minutes is warned of. Threads may share a choice.

    Args:
        engine: Name of the engine.
        warn: Called with the warning.

    Attributes:
        name: The engine that computes, by its own name.
        check: How it was checked, in words; empty for a named engine and before the first matrix.
    """

    def __init__(self, engine: Engine = "auto", warn: Callable[[str], object] = _warn) -> None:
        self.name: Engine = FASTEST if engine == "auto" else engine
        self.check = ""
        self._automatic = engine == "auto"
        self._warn = warn
        self._was_slow = False
        self._has_reference = True
        self._lock = threading.Lock()

    def __str__(self) -> str:
        """Name and check: ``"redzed, checked against giotto-tda's engine"``."""
        return f"{self.name}, {self.check}" if self.check else self.name

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, a choice is what it was when it was sent, and makes no more checks."""
        return EngineChoice, (self.name,), {"check": self.check}

    def run(
        self,
        compute: Callable[[Engine], Result],
        matrices: Iterable[npt.ArrayLike | None],
        dimensions: Sequence[int],
        points: int,
    ) -> Result:
        """Compute something by the engine, and again by giotto-tda's, where it is installed, if RedZeD raises.

        Args:
            compute: Called with the engine's name.
            matrices: The distance matrices that it works on, of which one serves for the check.
            dimensions: Homology dimensions.
            points: Largest number of points that it takes at once.

        Raises:
            EngineError: If the engine fails and no other one takes over.
        """
        given = [np.asarray(matrix) for matrix in matrices if matrix is not None]
        self._check_once(given, dimensions)
        self._warn_if_slow(given, dimensions, points)
        name = self.name
        try:
            return compute(name)
        except EngineError as error:
            if not self._automatic or name == REFERENCE or not self._has_reference:
                raise
            self.follow(REFERENCE, f"redzed raised {error.__cause__!r}")
            return compute(self.name)

    def follow(self, name: Engine, check: str) -> None:
        """Fall back if another process, or another thread, has fallen back."""
        with self._lock:
            if self._automatic and name == REFERENCE != self.name:
                self._replace(check)

    def _check_once(self, matrices: Sequence[npt.NDArray[Any]], dimensions: Sequence[int]) -> None:
        with self._lock:
            if self._automatic and not self.check and matrices:
                matrix = _first_points(matrices[len(matrices) // 2], _CHECKED_POINTS[max(dimensions)])
                if matrix is not None:
                    self._check(matrix, dimensions)

    def _warn_if_slow(self, matrices: Sequence[npt.NDArray[Any]], dimensions: Sequence[int], points: int) -> None:
        if self.name == FASTEST or self._was_slow:
            return
        pilots = [pilot for pilot in (_first_points(matrix, PILOT) for matrix in matrices) if pilot is not None]
        seconds = forecast(pilots, points, lambda pilot: compute_diagrams(pilot, dimensions, self.name))
        if seconds > MINUTE:
            self._was_slow = True
            self._warn(
                f"TopoLip expects engine {self.name!r} to take about {seconds / MINUTE:.0f} minutes or more for one "
                "analysis, since the samples of a layer are nearly at one distance from each other; "
                "engine='auto' gives the same diagrams in less time, and a smaller probe_size or subset_size helps."
            )

    def _check(self, matrix: Matrix, dimensions: Sequence[int]) -> None:
        try:
            expected = compute_diagrams(matrix, dimensions, REFERENCE)
        except Exception as error:
            self._has_reference = False
            missing = isinstance(error, ModuleNotFoundError)
            self.check = "not checked: giotto-tda " + ("is not installed" if missing else f"fails, {error!r}")
            return
        try:
            diagrams = compute_diagrams(matrix, dimensions, self.name)
        except EngineError as error:
            self._replace(f"redzed raised {error.__cause__!r}")
            return
        if all(np.array_equal(diagrams[dimension], expected[dimension]) for dimension in dimensions):
            self.check = "checked against giotto-tda's engine"
        else:
            self._replace("redzed differed from giotto-tda's engine")

    def _replace(self, reason: str) -> None:
        self.name, self.check = REFERENCE, reason
        self._warn(
            f"TopoLip computes persistence by giotto-tda's engine from now on: {reason}. "
            "Please report this, with the versions of redzed-tda and giotto-ph."
        )


@functools.cache
def process_choice(engine: Engine) -> EngineChoice:
    """The choice that all analyses of this process share which do not belong to a fit."""
    return EngineChoice(engine)


def _first_points(matrix: npt.NDArray[Any], points: int) -> Matrix | None:
    """The first points of a matrix; None if it is no distance matrix, which the analysis will refuse."""
    try:
        return float32_matrix(matrix[:points, :points])[0]
    except (ValueError, IndexError):
        return None
