"""The effect of a verdict in the direction of its claim, as a number and in words."""

from __future__ import annotations

import math

from lightning_topolip.study.judging.formats import MINUS, RHO, number
from lightning_topolip.study.judging.names import NAMES
from lightning_topolip.study.judging.statistics import Interval
from lightning_topolip.study.judging.summaries import SUMMARIES
from lightning_topolip.study.judging.verdicts import NEUTRAL, Verdict

_FEWEST_DIGITS, _MOST_DIGITS = 3, 12


def claimed_effect(verdict: Verdict) -> Interval:
    """Return the effect and its interval in the direction of the claim.

    A comparison is claimed higher / claimed lower model, or claimed higher - claimed lower: above 1, or above 0, it is
    as claimed. A rank correlation is itself, and its claim names the sign.

    Example:
        >>> from lightning_topolip.study.judging.claims import Claim
        >>> claim = Claim("The ViT has more variance.", summary="total_variance", lower="resnet", higher="vit")
        >>> verdict = Verdict(claim, "digits", "holds", 0.1, 0.05, 0.2, "ratio", "", "", 6, 2, "")
        >>> claimed_effect(verdict)
        Interval(value=10.0, low=5.0, high=20.0)
    """
    if verdict.unit == "rho":
        return Interval(verdict.effect, verdict.low, verdict.high)
    turned = _inverse if verdict.unit == "ratio" else _negative
    return Interval(turned(verdict.effect), turned(verdict.high), turned(verdict.low))


def claimed_above(verdict: Verdict) -> bool:
    """Tell whether the claim puts its `claimed_effect` above no effect; only negative correlations are below."""
    return not verdict.claim.correlation or verdict.claim.sign == "positive"


def effect_in_words(verdict: Verdict) -> str:
    """Write what is compared, the effect in the direction of the claim, its interval and the claimed side.

    Example:
        >>> from lightning_topolip.study.judging.claims import Claim
        >>> claim = Claim("The ViT loses less.", summary="attack_drop", lower="vit", higher="resnet")
        >>> verdict = Verdict(claim, "digits", "holds", -0.02, -0.03, -0.0104, "difference", "", "", 6, 2, "")
        >>> effect_in_words(verdict).replace(MINUS, "-")
        'accuracy lost to attacks: resnet - vit = 2.00 points, 95 % interval 1.04 to 3.00 (claimed: above 0)'
    """
    effect, low, high = claimed_effect(verdict)
    if math.isnan(effect):
        return f"{_compared(verdict)}: unknown"
    share = not verdict.claim.correlation and SUMMARIES[verdict.claim.summary].unit == "share"
    factor, unit = (100, " points") if share and verdict.unit == "difference" else (1, "")
    neutral = NEUTRAL[verdict.unit]
    value = f"{_compared(verdict)} = {number(factor * effect)}{unit}"
    if math.isnan(low):
        return f"{value}, no interval"
    limits = " to ".join(_beside(factor * limit, neutral) for limit in (low, high))
    side = "above" if claimed_above(verdict) else "below"
    return f"{value}, 95 % interval {limits} (claimed: {side} {neutral:g})"


def _compared(verdict: Verdict) -> str:
    claim = verdict.claim
    if claim.correlation:
        return f"Spearman {RHO} of {' and '.join(NAMES[name] for name in claim.correlation)}"
    sign = "/" if verdict.unit == "ratio" else MINUS
    return f"{NAMES[claim.summary]}: {claim.higher} {sign} {claim.lower}"


def _beside(value: float, neutral: float) -> str:
    """Write a limit with as many digits as it takes to see on which side of no effect it lies."""
    if value == neutral or not math.isfinite(value):
        return number(value)
    digits = _FEWEST_DIGITS
    while digits < _MOST_DIGITS and float(f"{value:.{digits - 1}e}") == neutral:
        digits += 1
    return number(value, digits)


def _inverse(value: float) -> float:
    return 1 / value if value else math.inf


def _negative(value: float) -> float:
    return 0.0 - value
