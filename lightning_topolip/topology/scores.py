"""Drift, speed and TopoLip: one definition for every axis."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.engines import Diagrams
from lightning_topolip.wasserstein import combine_dimensions, wasserstein_distances

Numbers = npt.NDArray[np.float64]


def distances_along(path: Sequence[Diagrams | None], order: float = 2.0) -> list[float]:
    """Measure W_p from diagrams to diagrams on each step of a path, see `step_distances`.

    Example:
        >>> import numpy as np
        >>> distances_along([{0: np.array([[0.0, death]])} for death in (1.0, 1.5, 3.0)])
        [0.5, 1.5]
    """
    return step_distances(list(itertools.pairwise(path)), order)


def step_distances(steps: Sequence[tuple[Diagrams | None, Diagrams | None]], order: float = 2.0) -> list[float]:
    """Measure W_p between the diagrams before and after each step, all dimensions together.

    It is ``(sum over dimensions of W_p^p)^(1/p)``, NaN if a side has no diagrams (None).

    Raises:
        ValueError: If the two sides of a step differ in their homology dimensions.

    Example:
        >>> import numpy as np
        >>> diagram = {0: np.array([[0.0, 4.0]])}
        >>> step_distances([(diagram, {0: np.array([[0.0, 5.0]])}), (diagram, None)])
        [1.0, nan]
    """
    pairs = []
    for first, second in steps:
        if first is None or second is None:
            continue
        if first.keys() != second.keys():
            raise ValueError(
                "Argument `steps` must hold diagrams of the same homology dimensions on both sides, got "
                f"{sorted(first)} and {sorted(second)}."
            )
        pairs += [(first[dimension], second[dimension]) for dimension in first]
    distances = iter(wasserstein_distances(pairs, order).tolist())
    return [
        math.nan
        if first is None or second is None
        else combine_dimensions(itertools.islice(distances, len(first)), order)
        for first, second in steps
    ]


def speed_mean(drifts: npt.ArrayLike) -> Numbers:
    """Average the drifts of paths, shape ``(..., steps)``: how far features travel per step. NaN for no step.

    Example:
        >>> float(speed_mean([1.0, 3.0, 2.0]))
        2.0
    """
    return _over_steps(np.mean, drifts, fewest=1)


def speed_max(drifts: npt.ArrayLike) -> Numbers:
    """Take the largest drift of paths, shape ``(..., steps)``: the Lipschitz constant of the observed path.

    NaN for no step.

    Example:
        >>> float(speed_max([1.0, 3.0, 2.0]))
        3.0
    """
    return _over_steps(np.max, drifts, fewest=1)


def topolip(drifts: npt.ArrayLike) -> Numbers:
    """Compute TopoLip, the mean absolute change of the drift from step to step: how unevenly features travel.

    It is ``mean_i |w_(i+1) - w_i|`` of drifts of shape ``(..., steps)``. Lower is smoother, 0 is uniform motion, NaN
    for fewer than two drifts.

    Source:
        After arXiv:2410.17628.

    Example:
        >>> float(topolip([1.0, 3.0, 2.0]))
        1.5
    """
    return _over_steps(lambda values, axis: np.abs(np.diff(values, axis=axis)).mean(axis=axis), drifts, fewest=2)


def _over_steps(statistic: Callable[..., Numbers], drifts: npt.ArrayLike, fewest: int) -> Numbers:
    values = np.asarray(drifts, dtype=np.float64)
    if values.shape[-1] < fewest:
        return np.full(values.shape[:-1], math.nan)
    return statistic(values, axis=-1)
