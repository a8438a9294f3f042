"""Where an upper bound holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Region:
    """Where a bound holds: everywhere, or wherever some quantities stay within what they are on the probe.

    Attributes:
        everywhere: Whether nothing may be read off the probe.
        read: Whether something was.
    """

    everywhere: bool
    read: bool = False

    def least(self, values: Tensor) -> float:
        """Give the smallest on the probe of values that are never negative, or 0."""
        self.read |= not self.everywhere
        return 0.0 if self.everywhere else float(values.min())

    def largest(self, values: Tensor) -> float:
        """Give the largest on the probe, or infinity."""
        self.read |= not self.everywhere
        return math.inf if self.everywhere else float(values.max())
