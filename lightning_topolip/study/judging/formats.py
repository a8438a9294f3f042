"""Numbers as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
RHO = "\N{GREEK SMALL LETTER RHO}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """Write a number with some significant digits; NaN is a dash.

    Example:
        >>> number(0.0714), number(98765.4321), number(98765.4321, 7), number(float("inf"))
        ('0.0714', '98800', '98765.43', '∞')
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    exponent = int(power)
    if value and not -4 < exponent < 5:
        return f"{mantissa} {_TIMES} 10{str(exponent).translate(_SUPERSCRIPTS)}".replace("-", MINUS)
    return f"{float(f'{mantissa}e{power}'):.{max(digits - 1 - exponent, 0)}f}".replace("-", MINUS)


def power_of_ten(value: float) -> str:
    """Write the nearest power of ten.

    Example:
        >>> power_of_ten(1000.0), power_of_ten(0.01)
        ('10³', '10⁻²')
    """
    return f"10{str(round(math.log10(value))).translate(_SUPERSCRIPTS)}"


def count(value: float) -> str:
    """Write a whole number with its thousands apart; NaN is a dash.

    Example:
        >>> count(1234567)
        '1 234 567'
    """
    return number(value) if not math.isfinite(value) else f"{round(value):,}".replace(",", " ")


def percent(value: float) -> str:
    """Write a share from 0 to 1 in percent; NaN is a dash.

    Example:
        >>> percent(0.875)
        '87.5 %'
    """
    return number(value) if not math.isfinite(value) else f"{100 * value:.1f} %"


def over_seeds(values: npt.ArrayLike, *, share: bool = False) -> str:
    """Write mean ± standard deviation of one number per seed; NaN is skipped, and infinite values have no mean.

    Example:
        >>> over_seeds([0.9, 1.0, 1.1]), over_seeds([0.5]), over_seeds([0.5, 0.7], share=True)
        ('1.00 ± 0.10', '0.500', '60.0 ± 14.1 %')
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if not numbers.size:
        return MISSING
    write = percent if share else number
    if numbers.size == 1:
        return write(float(numbers[0]))
    if np.isinf(numbers).any():
        lowest = float(numbers.min())
        return f"∞, lowest {write(lowest)}" if math.isfinite(lowest) else write(lowest)
    mean, deviation = float(numbers.mean()), float(numbers.std(ddof=1))
    if share:
        return f"{100 * mean:.1f} ± {100 * deviation:.1f} %"
    return f"{number(mean)} ± {number(deviation, 2)}"


def join_names(names: Sequence[object]) -> str:
    """Join names as in a sentence.

    Example:
        >>> join_names(["vit"]), join_names(["vit", "resnet", "conv"])
        ('vit', 'vit, resnet and conv')
    """
    texts = [str(name) for name in names]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
