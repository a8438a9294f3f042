"""Numbers as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
RHO = "\N{GREEK SMALL LETTER RHO}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_ATTACKS = {"fgsm": "FGSM", "pgd": "PGD", "autoattack": "AutoAttack"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """Write a number with some significant digits.

    Args:
        value: Also NaN, for missing, and infinity.
        digits: Significant ones.

    Returns:
        Text without an ``e``.

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
        return f"{mantissa} {_TIMES} 10{str(exponent).translate(_RAISED)}".replace("-", MINUS)
    return f"{float(f'{mantissa}e{power}'):.{max(digits - 1 - exponent, 0)}f}".replace("-", MINUS)


def count(value: float) -> str:
    """Write a whole number with its thousands apart.

    Args:
        value: NaN for missing.

    Returns:
        Text.

    Example:
        >>> count(1234567)
        '1 234 567'
    """
    return number(value) if not math.isfinite(value) else f"{round(value):,}".replace(",", " ")


def percent(value: float) -> str:
    """Write a share.

    Args:
        value: From 0 to 1; NaN for missing.

    Returns:
        Text with one decimal.

    Example:
        >>> percent(0.875)
        '87.5 %'
    """
    return number(value) if not math.isfinite(value) else f"{100 * value:.1f} %"


def over_seeds(values: npt.ArrayLike, share: bool = False) -> str:
    """Write the mean over seeds with their standard deviation.

    Args:
        values: A number a seed; NaN is left out, and infinity has no mean.
        share: Whether they are shares, written in percent.

    Returns:
        ``"mean ± standard deviation"``, without the second part for one seed.

    Example:
        >>> over_seeds([0.9, 1.0, 1.1]), over_seeds([0.5]), over_seeds([0.5, 0.7], share=True)
        ('1.00 ± 0.10', '0.500', '60.0 ± 14.1 %')
    """
    found = np.asarray(values, dtype=np.float64)
    found = found[~np.isnan(found)]
    if not found.size:
        return MISSING
    write = percent if share else number
    if found.size == 1:
        return write(float(found[0]))
    if np.isinf(found).any():
        lowest = float(found.min())
        return f"∞, lowest {write(lowest)}" if math.isfinite(lowest) else write(lowest)
    mean, deviation = float(found.mean()), float(found.std(ddof=1))
    if share:
        return f"{100 * mean:.1f} ± {100 * deviation:.1f} %"
    return f"{number(mean)} ± {number(deviation, 2)}"


def listed(names: Sequence[object]) -> str:
    """Join names as in a sentence.

    Args:
        names: In order.

    Returns:
        Text.

    Example:
        >>> listed(["vit"]), listed(["vit", "resnet", "conv"])
        ('vit', 'vit, resnet and conv')
    """
    texts = [str(name) for name in names]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def condition_name(condition: str) -> str:
    """Write what images went through.

    Args:
        condition: As in the table.

    Returns:
        Text.

    Example:
        >>> condition_name("pgd"), condition_name("gaussian_noise")
        ('PGD', 'gaussian noise')
    """
    return _ATTACKS.get(condition, condition.replace("_", " "))
