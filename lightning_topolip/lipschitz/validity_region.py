"""The region of inputs on which an upper bound holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Region:
    """The whole input space, or the inputs whose intermediate quantities stay within their range on the probe.

    Attributes:
        everywhere: Whether the bound must hold on the whole space, so that no quantity may be read off the probe.
        read: Whether a quantity was read off the probe.
    """

    everywhere: bool
    read: bool = False

    def least(self, values: Tensor) -> float:
        """The smallest of some nonnegative values on the region: the minimum on the probe, or 0 everywhere."""
        self.read |= not self.everywhere
        return 0.0 if self.everywhere else float(values.min())

    def largest(self, values: Tensor) -> float:
        """The largest of some values on the region: the maximum on the probe, or infinity everywhere."""
        self.read |= not self.everywhere
        return math.inf if self.everywhere else float(values.max())
