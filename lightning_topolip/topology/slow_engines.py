"""How long an engine takes on samples that are nearly at one distance from each other, where most engines are slow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from lightning_topolip.topology.engines import Matrix

MINUTE = 60.0
PILOT = 128

_SPHERE_LIKE = 0.92  # Gaussian clouds are at 0.9 or below, those on a sphere in 16 dimensions or more above
_EXPONENT = 5.0


def forecast(pilots: Sequence[Matrix], points: int, compute: Callable[[Matrix], object]) -> float:
    """Predict the seconds of persistence on the layers that look like a sphere; 0 if there are none, or few points.

    Where no radius cuts off the long distances, as on a sphere, the time of giotto-ph, Ripser and GUDHI grows like the
    fifth power of the number of points. The engine is timed on the pilot of the layer that is most like a sphere.

    Args:
        pilots: Distances of the first 128 samples, one matrix per layer.
        points: Largest number of points that the engine takes at once.
        compute: Computes the persistence of a matrix.

    Example:
        >>> import numpy as np
        >>> points = np.arange(128, dtype=np.float32)
        >>> forecast([np.abs(points[:, None] - points)], 300, lambda matrix: None)
        0.0
    """
    shares = [_share_below_radius(pilot) for pilot in pilots]
    count = sum(share >= _SPHERE_LIKE for share in shares)
    if points <= PILOT or not count:
        return 0.0
    start = time.perf_counter()
    compute(pilots[int(np.argmax(shares))])
    growth: float = (points / PILOT) ** _EXPONENT
    return count * (time.perf_counter() - start) * growth


def _share_below_radius(matrix: Matrix) -> float:
    """Share of the distances below the enclosing radius, beyond which the complex is a cone and nothing happens."""
    radius = matrix.max(axis=1).min()
    return float((matrix <= radius).mean()) if radius > 0 else 0.0
