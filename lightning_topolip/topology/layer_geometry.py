"""The geometry of a layer: variance, dimensions, and the stretch from the input to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy.typing as npt

from lightning_topolip.topology.geometry import covering_dimension, total_variance, two_nn_dimension
from lightning_topolip.topology.pairwise import pairwise_lipschitz
from lightning_topolip.topology.spectrum import alpha_req, participation_ratio, rankme, variance_spectrum

_NO_PAIR = "no two samples of the input are far enough apart"
_NO_INPUT = "the input could not be measured"
_TOO_FEW_DIRECTIONS = "the points lie in fewer than six directions"
_TORN = "samples that are equal in the input differ here, as where a forward draws random numbers"
_TOO_FEW_TO_COVER = "there are fewer than 24 points, or too few of them differ"


@dataclass(frozen=True)
class LayerGeometry:
    """The geometry of one layer at one moment; NaN where it is not defined.

    Attributes:
        total_variance: Sum over features of the variance, in the squared unit of the activations.
        two_nn_dimension: Intrinsic dimension from the two nearest neighbours of each point.
        participation_ratio: Effective number of directions of the variance, 1 to n - 1.
        covering_dimension: Growth rate of the covering numbers.
        rankme: Effective rank, a smooth count of the directions in use, 1 to n - 1.
        alpha_req: Power with which the variance decays over the principal axes.
        pairwise_lipschitz: Largest stretch of a pair of samples from the input to this layer, in units of the layer
            per unit of the input: a lower bound on the Lipschitz constant of the network up to this layer. NaN also if
            the input is not a tensor of real numbers.
        failures: By name of a number, the reason why it is NaN or infinite.
    """

    total_variance: float = math.nan
    two_nn_dimension: float = math.nan
    participation_ratio: float = math.nan
    covering_dimension: float = math.nan
    rankme: float = math.nan
    alpha_req: float = math.nan
    pairwise_lipschitz: float = math.nan
    failures: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and dictionaries, ready for JSON."""
        return asdict(self)


def geometry_of_layer(distances: npt.ArrayLike) -> LayerGeometry:
    """Compute all numbers but the stretch from the input; one that fails is NaN, with the reason.

    Example:
        >>> import numpy as np
        >>> line = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
        >>> geometry = geometry_of_layer(line)
        >>> geometry.total_variance, geometry.participation_ratio, list(geometry.failures)
        (2.0, 1.0, ['covering_dimension', 'alpha_req'])
    """
    spectrum = cache(partial(variance_spectrum, distances))
    attempts = {
        "total_variance": _attempt(partial(total_variance, distances), "it is not finite"),
        "two_nn_dimension": _attempt(partial(two_nn_dimension, distances), "too few points differ from each other"),
        "participation_ratio": _attempt(partial(participation_ratio, distances), "all points coincide"),
        "covering_dimension": _attempt(partial(covering_dimension, distances), _TOO_FEW_TO_COVER),
        "rankme": _attempt(lambda: rankme(spectrum()), "all points coincide"),
        "alpha_req": _attempt(lambda: alpha_req(spectrum()), _TOO_FEW_DIRECTIONS),
    }
    values = {number: value for number, (value, _) in attempts.items()}
    return LayerGeometry(**values, failures={number: reason for number, (_, reason) in attempts.items() if reason})


def with_stretch(
    geometry: LayerGeometry, distances: npt.ArrayLike, input_distances: npt.ArrayLike | None
) -> LayerGeometry:
    """Add the stretch from the input, from the distance matrices of both; None for an input that was not measured.

    Example:
        >>> import numpy as np
        >>> line = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
        >>> with_stretch(LayerGeometry(), 3 * line, line).pairwise_lipschitz
        3.0
    """
    value, reason = math.nan, _NO_INPUT
    if input_distances is not None:
        value, reason = _attempt(lambda: pairwise_lipschitz(input_distances, distances).value, _NO_PAIR)
        reason = _TORN if math.isinf(value) else reason
    failures = geometry.failures | ({"pairwise_lipschitz": reason} if reason else {})
    return replace(geometry, pairwise_lipschitz=value, failures=failures)


def undefined_numbers(geometry: Mapping[str, LayerGeometry]) -> list[str]:
    """List which numbers are NaN or infinite and why, one sentence per number and reason.

    Example:
        >>> undefined_numbers({name: LayerGeometry(failures={"two_nn_dimension": "few points"}) for name in "ab"})
        ["two_nn_dimension of 'a', 'b' is NaN: few points"]
    """
    layers: dict[tuple[str, str], list[str]] = {}
    for layer, numbers in geometry.items():
        for number, reason in numbers.failures.items():
            what = "infinite" if math.isinf(getattr(numbers, number)) else "NaN"
            layers.setdefault((number, f"{what}: {reason}"), []).append(repr(layer))
    return [f"{number} of {', '.join(names)} is {why}" for (number, why), names in layers.items()]


def _attempt(compute: Callable[[], float], undefined: str) -> tuple[float, str]:
    """The number and no reason, or NaN and a reason; a monitor must not end a training."""
    try:
        value = compute()
    except Exception as error:
        return math.nan, str(error) or repr(error)
    return value, undefined if math.isnan(value) else ""
