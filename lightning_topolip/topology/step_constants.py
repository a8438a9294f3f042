"""Local Lipschitz constants of a network's steps at one moment, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lightning_topolip.topology.names import NETWORK


@dataclass(frozen=True)
class LocalConstants:
    """The largest local Lipschitz constant of every step over some samples; each a lower bound on that of the step.

    Attributes:
        steps: By the step's later layer, ``"<output>"`` last; in units of that layer over units of the one before. NaN
            where a step has none.
        network: Of the whole network, from its input to its output; NaN where it has none.
        failures: By layer why it is NaN; ``"<network>"`` for the whole.
    """

    steps: dict[str, float]
    network: float
    failures: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give plain numbers and dictionaries, ready for JSON."""
        return asdict(self)

    def undefined(self) -> list[str]:
        """Say what is NaN and why, one sentence for each reason.

        Example:
            >>> LocalConstants({"a": math.nan, "b": math.nan}, 2.0, {"a": "a skip", "b": "a skip"}).undefined()
            ["local Lipschitz constant of 'a', 'b' is NaN: a skip"]
        """
        layers: dict[str, list[str]] = {}
        for layer, reason in self.failures.items():
            layers.setdefault(reason, []).append(repr(layer))
        return [f"local Lipschitz constant of {', '.join(named)} is NaN: {why}" for why, named in layers.items()]


def no_constants(layers: Sequence[str], reason: str) -> LocalConstants:
    """Give constants that are all NaN for one reason.

    Args:
        layers: The layers at which the steps end.
        reason: Why there are none.

    Returns:
        NaN for every step and for the network.
    """
    return LocalConstants(dict.fromkeys(layers, math.nan), math.nan, dict.fromkeys((*layers, NETWORK), reason))
