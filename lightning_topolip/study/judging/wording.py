"""Numbers and counts as the verdicts write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lightning_topolip.study.judging.statistics import spread


def described(name: str, values: Sequence[float], noun: str, errors: Sequence[float] = ()) -> str:
    """Write the mean of a side with its standard deviation and the root mean square of its errors on the probe.

    Example:
        >>> described("vit", [0.10, 0.11, 0.12], "seed", [0.004, 0.004, 0.004])
        'vit 0.11 ± 0.01 over 3 seeds, ± 0.004 on the probe'
    """
    mean, deviation, size = spread(values)
    if size == 0:
        return f"{name} not measured"
    around = "" if math.isnan(deviation) else f" ± {rounded(deviation, 2)}"
    known = [
        error for value, error in zip(values, errors, strict=False) if not (math.isnan(value) or math.isnan(error))
    ]
    on_probe = f", ± {rounded(float(np.sqrt(np.mean(np.square(known)))), 2)} on the probe" if known else ""
    return f"{name} {rounded(mean, 3)}{around} over {counted(size, noun)}{on_probe}"


def rounded(value: float, digits: int) -> str:
    """Write a number with some significant digits."""
    return f"{float(f'{value:.{digits}g}'):g}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun, such as ``"1 run"`` or ``"6 runs"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
