"""Effects and their intervals as places on a line, beside what was claimed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lightning_topolip.report.formats import number
from lightning_topolip.study.judging.verdicts import Verdict

_ENDS = {"ratio": (2.0, 10.0, 100.0, 1000.0), "difference": (0.05, 0.1, 0.2, 0.5, 1.0), "rho": (1.0,)}


@dataclass(frozen=True)
class Track:
    """An effect with its interval on a line whose middle is no effect.

    Attributes:
        effect: Its place, in percent of the line's length from the left; None where it lies beyond the line.
        low: Where the interval begins, not before the line does.
        high: Where it ends, not after the line does.
        open_low: Whether the interval goes on to the left of the line.
        open_high: Whether it goes on to the right.
        claimed: On which side the claim has it.
        ends: The values at the left end, in the middle, and at the right end.
    """

    effect: float | None
    low: float
    high: float
    open_low: bool
    open_high: bool
    claimed: Literal["left", "right"]
    ends: tuple[str, str, str]


def tracks(verdicts: Sequence[Verdict]) -> list[Track | None]:
    """Place effects of one unit on lines of one length each, so that they compare.

    Args:
        verdicts: Of a study.

    Returns:
        The line of every verdict; None for one without an interval.
    """
    lengths = {unit: _length(unit, [verdict for verdict in verdicts if verdict.unit == unit]) for unit in _ENDS}
    return [_track(verdict, lengths[verdict.unit]) for verdict in verdicts]


def _length(unit: str, verdicts: Sequence[Verdict]) -> float:
    """Give the smallest end that holds all effects."""
    farthest = max((abs(_distance(verdict.effect, unit)) for verdict in verdicts if _drawn(verdict)), default=0.0)
    fitting = [end for end in _ENDS[unit] if _distance(end, unit) >= farthest]
    return fitting[0] if fitting else _ENDS[unit][-1]


def _track(verdict: Verdict, end: float) -> Track | None:
    if not _drawn(verdict):
        return None
    effect, low, high = (
        50 + 50 * _distance(value, verdict.unit) / _distance(end, verdict.unit)
        for value in (verdict.effect, verdict.low, verdict.high)
    )
    left, middle = (1 / end, 1.0) if verdict.unit == "ratio" else (-end, 0.0)
    claim = verdict.claim
    return Track(
        effect=effect if 0 <= effect <= 100 else None,
        low=min(max(low, 0.0), 100.0),
        high=min(max(high, 0.0), 100.0),
        open_low=low < 0,
        open_high=high > 100,
        claimed="right" if claim.correlation and claim.sign == "positive" else "left",
        ends=(number(left, 1), number(middle, 1), number(end, 1)),
    )


def _distance(value: float, unit: str) -> float:
    """Give how far a value lies from no effect, on the scale of the line."""
    if unit != "ratio":
        return value
    return math.log(value) if value > 0 else -math.inf


def _drawn(verdict: Verdict) -> bool:
    return math.isfinite(verdict.effect) and not math.isnan(verdict.low) and not math.isnan(verdict.high)
