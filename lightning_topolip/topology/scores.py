"""Drift, speed and TopoLip: one definition for every axis."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.engines import Diagrams
from lightning_topolip.wasserstein import combine_dimensions, wasserstein_distances


def drifts_along(path: Sequence[Diagrams | None], order: float = 2.0) -> list[float]:
    """Measure how far the diagrams travel on each step of a path, all dimensions together.

    A step's drift is ``(sum over dimensions of W_p^p)^(1/p)``, NaN if a layer of it has no diagrams (None).

    Example:
        >>> import numpy as np
        >>> drifts_along([{0: np.array([[0.0, death]])} for death in (1.0, 1.5, 3.0)])
        [0.5, 1.5]
    """
    steps = [(first, second) for first, second in itertools.pairwise(path) if first is not None and second is not None]
    if any(first.keys() != second.keys() for first, second in steps):
        dimensions = [sorted(diagrams) for diagrams in path if diagrams is not None]
        raise ValueError(f"Argument `path` must hold diagrams of the same homology dimensions, got {dimensions}.")
    pairs = [(first[dimension], second[dimension]) for first, second in steps for dimension in first]
    distances = iter(wasserstein_distances(pairs, order).tolist())
    return [
        combine_dimensions(itertools.islice(distances, len(first)), order)
        if first is not None and second is not None
        else math.nan
        for first, second in itertools.pairwise(path)
    ]


def speed_mean(drifts: npt.ArrayLike) -> float:
    """Average the drifts of a path: how far features travel per step. NaN for no step.

    Example:
        >>> speed_mean([1.0, 3.0, 2.0])
        2.0
    """
    values = np.asarray(drifts, dtype=np.float64)
    return float(values.mean()) if values.size else math.nan


def speed_max(drifts: npt.ArrayLike) -> float:
    """Take the largest drift of a path: the Lipschitz constant of the observed path. NaN for no step.

    Example:
        >>> speed_max([1.0, 3.0, 2.0])
        3.0
    """
    values = np.asarray(drifts, dtype=np.float64)
    return float(values.max()) if values.size else math.nan


def topolip(drifts: npt.ArrayLike) -> float:
    """Compute TopoLip, the mean absolute change of the drift from step to step: how unevenly features travel.

    It is ``mean_i |w_(i+1) - w_i|``. Lower is smoother, 0 is uniform motion, NaN for fewer than two drifts.

    Source:
        After arXiv:2410.17628.

    Example:
        >>> topolip([1.0, 3.0, 2.0])
        1.5
    """
    values = np.asarray(drifts, dtype=np.float64)
    return float(np.abs(np.diff(values)).mean()) if values.size > 1 else math.nan
