"""Drift, speed and TopoLip: one definition for every axis."""

import math

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.diagrams import Diagrams
from lightning_topolip.wasserstein import combine_dimensions, wasserstein_distance


def drift(first: Diagrams, second: Diagrams, order: float = 2.0, interval: float = 1.0) -> float:
    """Measure how far the diagrams travel from one observation to the next, all dimensions together.

    Args:
        first: Diagrams by dimension at s, each of shape ``(k, 2)``.
        second: Diagrams at s + interval, the same dimensions.
        order: Order p of the Wasserstein distance, from 1 to ``math.inf``.
        interval: Length of the step on the axis: 1 for layers, epochs for the training axis.

    Returns:
        ``(sum over dimensions of W_p^p)^(1/p) / interval``.

    Raises:
        ValueError: If the dimensions differ or the interval is not positive.

    Example:
        >>> import numpy as np
        >>> drift({0: np.array([[0.0, 1.0]])}, {0: np.array([[0.0, 1.5]])}, interval=2.0)
        0.25
    """
    if first.keys() != second.keys():
        raise ValueError(
            "Arguments `first` and `second` must hold the same homology dimensions, "
            f"got {sorted(first)} and {sorted(second)}."
        )
    if not interval > 0:
        raise ValueError(f"Argument `interval` must be positive, got {interval!r}.")
    parts = [wasserstein_distance(first[dimension], second[dimension], order) for dimension in first]
    return combine_dimensions(parts, order) / interval


def speed_mean(drifts: npt.ArrayLike) -> float:
    """Average the drifts of a path: how far features travel a step. NaN for no step.

    Args:
        drifts: Drifts in the order of the path, shape ``(k,)``.

    Returns:
        The mean, in the unit of the drifts.

    Example:
        >>> speed_mean([1.0, 3.0, 2.0])
        2.0
    """
    values = np.asarray(drifts, dtype=np.float64)
    return float(values.mean()) if values.size else math.nan


def speed_max(drifts: npt.ArrayLike) -> float:
    """Take the largest drift of a path: the Lipschitz constant of the observed path. NaN for no step.

    Args:
        drifts: Drifts in the order of the path, shape ``(k,)``.

    Returns:
        The maximum, in the unit of the drifts.

    Example:
        >>> speed_max([1.0, 3.0, 2.0])
        3.0
    """
    values = np.asarray(drifts, dtype=np.float64)
    return float(values.max()) if values.size else math.nan


def topolip(drifts: npt.ArrayLike) -> float:
    """Compute TopoLip, the mean absolute rate of change of the drift: how unevenly features travel.

    Args:
        drifts: Drifts in the order of the path, shape ``(k,)``.

    Returns:
        ``mean_i |w_(i+1) - w_i|``; lower is smoother, 0 is uniform motion, NaN for fewer than two drifts.

    Source:
        After arXiv:2410.17628.

    Example:
        >>> topolip([1.0, 3.0, 2.0])
        1.5
    """
    values = np.asarray(drifts, dtype=np.float64)
    return float(np.abs(np.diff(values)).mean()) if values.size > 1 else math.nan
