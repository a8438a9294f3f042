"""An accuracy with what it was measured on, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

Kind = Literal["clean", "corruption", "attack"]


@dataclass(frozen=True)
class Accuracy:
    """The share of images that a model classifies correctly under one condition.

    Attributes:
        kind: ``"clean"``, ``"corruption"`` or ``"attack"``.
        name: Of the corruption or attack; ``"clean"``.
        strength: Severity from 1 to 5, or epsilon in 255ths of the pixel range; 0 for clean.
        correct: Number of images classified correctly; None where the model's output was not finite.
        total: Number of images.
    """

    kind: Kind
    name: str
    strength: float
    correct: int | None
    total: int

    @property
    def value(self) -> float:
        """The accuracy, from 0 to 1; NaN where it could not be measured."""
        return math.nan if self.correct is None else self.correct / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Give the Wilson interval of the accuracy, of images drawn at random; NaN where there is no accuracy."""
        return (math.nan, math.nan) if self.correct is None else wilson_interval(self.correct, self.total, confidence)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the score interval of a binomial proportion.

    Args:
        successes: From 0 to ``trials``.
        trials: At least 1.
        confidence: Level between 0 and 1.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: If an argument is not allowed.

    Source:
        Wilson 1927, DOI 10.1080/01621459.1927.10502953.

    Example:
        >>> low, high = wilson_interval(90, 100)
        >>> round(low, 4), round(high, 4)
        (0.8256, 0.9448)
    """
    if not (trials >= 1 and 0 <= successes <= trials):
        raise ValueError(
            f"Arguments `successes` and `trials` must satisfy 0 <= successes <= trials and trials >= 1, "
            f"got {successes} and {trials}."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"Argument `confidence` must lie between 0 and 1, such as 0.95, got {confidence!r}.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = successes / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    return max(middle - half, 0.0), min(middle + half, 1.0)
