"""The order p and its norm, and the loop that makes a matching in float64 exact in that norm."""

from collections.abc import Callable

import numpy as np

from lightning_topolip.wasserstein.diagram import Floats

STEEP = 8.0  # above this order, the bottleneck distance is the better first ceiling
AS_GOOD_AS_INFINITE = 1e12  # W_inf <= W_p <= count^(1/p) W_inf: equal to 1e-10 for any count that fits in memory

_NOISE = 1e-6


def check_order(order: float) -> float:
    """Return the order as a float.

    Raises:
        ValueError: If it is not a number in [1, inf].
    """
    if isinstance(order, (int, float, np.integer, np.floating)) and not isinstance(order, bool) and order >= 1:
        return float(order)
    raise ValueError(
        f"Argument `order` must be a number in [1, inf], got {order!r}; "
        "use 1, 2 (the default) or math.inf (bottleneck)."
    )


def p_norm(lengths: Floats, order: float) -> float:
    """(sum of lengths^p)^(1/p), the maximum for p = inf, without intermediate overflow; 0.0 for no lengths.

    Example:
        >>> p_norm(np.array([3.0, 4.0]), 2.0)
        5.0
    """
    peak = float(lengths.max()) if lengths.size else 0.0
    if peak == 0.0 or not np.isfinite(peak) or order == np.inf:
        return peak
    with np.errstate(under="ignore"):
        return float(peak * ((lengths / peak) ** order).sum() ** (1.0 / order))


def tighten(lengths_below: Callable[[float], Floats], ceiling: float, largest: float, order: float) -> float:
    """Solve a matching problem under lower and lower ceilings until rounding cannot matter; return its p-norm.

    A solver in float64 compares matchings with an error near 1e-16 of its largest cost. For two nearly equal clouds
    that is more than the answer. But an optimal matching uses no length above the answer. So costs above the value of
    any matching may be cut to twice that value, and the error becomes relative to the answer itself.

    Args:
        lengths_below: Solver: the lengths of an optimal matching, given a ceiling that is not below the optimum.
        ceiling: Any upper bound of the distance.
        largest: Largest cost that the solver meets without a ceiling.
        order: p, finite.
    """
    while ceiling > 0.0:
        lengths = lengths_below(ceiling)
        value = p_norm(lengths, order)
        scale = min(ceiling, largest)
        if value == 0.0 or value >= scale or (value / scale) ** order >= _NOISE * lengths.size:
            return value
        ceiling = value
    return 0.0
