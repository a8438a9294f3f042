"""An accuracy, the condition under which it was measured, and its confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lightning_topolip.arguments import require_fraction

Kind = Literal["clean", "corruption", "attack"]


@dataclass(frozen=True)
class Accuracy:
    """The share of images that a model classifies correctly under one condition.

    Attributes:
        kind: ``"clean"``, ``"corruption"`` or ``"attack"``.
        name: Name of the corruption or attack; ``"clean"`` for the clean images.
        strength: Severity from 1 to 5, or epsilon in 255ths of the pixel range; 0 for clean.
        correct: Number of images classified correctly; None if the model's output was not finite.
        total: Number of images.
        masked: Number of images whose gradient is exactly zero under the attack, see `masked_gradients`; their accuracy
            is that under `square` as well, and no evidence of robustness beyond it. 0 for other conditions.
    """

    kind: Kind
    name: str
    strength: float
    correct: int | None
    total: int
    masked: int = 0

    @property
    def value(self) -> float:
        """The accuracy, from 0 to 1; NaN if it could not be measured."""
        return math.nan if self.correct is None else self.correct / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the Wilson interval of the accuracy for images drawn at random; NaN if it could not be measured."""
        return (math.nan, math.nan) if self.correct is None else wilson_interval(self.correct, self.total, confidence)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute Wilson's score interval of a binomial proportion (`scipy.stats.binomtest`).

    Args:
        successes: Number of successes, from 0 to ``trials``.
        trials: Number of trials, at least 1.
        confidence: Confidence level between 0 and 1.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: If an argument is invalid.

    Source:
        Wilson 1927, DOI 10.1080/01621459.1927.10502953.

    Example:
        >>> low, high = wilson_interval(90, 100)
        >>> round(low, 4), round(high, 4)
        (0.8256, 0.9448)
    """
    from scipy.stats import binomtest

    require_fraction("confidence", confidence, hint="take 0.95")
    low, high = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(low), float(high)
