"""Local Lipschitz constants of the steps of a network, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lightning_topolip.topology.names import NETWORK


@dataclass(frozen=True)
class LocalConstants:
    """The largest local Lipschitz constant of every step over some samples: a lower bound on the step's constant.

    Attributes:
        steps: By the later layer of the step, ``"<output>"`` last, in units of that layer per unit of the previous one;
            NaN for a step without a constant.
        network: Constant of the network from its input to its output, or NaN.
        failures: By layer, the reason why its step is NaN; by ``"<network>"`` that of the network.
    """

    steps: dict[str, float]
    network: float
    failures: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and dictionaries, ready for JSON."""
        return asdict(self)

    def undefined(self) -> list[str]:
        """List which constants are NaN and why, one sentence per reason.

        Example:
            >>> LocalConstants({"a": math.nan, "b": math.nan}, 2.0, {"a": "a skip", "b": "a skip"}).undefined()
            ["local Lipschitz constant of 'a', 'b' is NaN: a skip"]
        """
        layers: dict[str, list[str]] = {}
        for layer, reason in self.failures.items():
            layers.setdefault(reason, []).append(repr(layer))
        return [f"local Lipschitz constant of {', '.join(names)} is NaN: {reason}" for reason, names in layers.items()]


def no_constants(layers: Sequence[str], reason: str) -> LocalConstants:
    """Return NaN for the steps to some layers and for the network, all for one reason."""
    return LocalConstants(dict.fromkeys(layers, math.nan), math.nan, dict.fromkeys((*layers, NETWORK), reason))
