"""The guard against collapse: it lowers a penalty's weight where a network does not learn or tell samples apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lightning_topolip.notices import Notices

_LOST_SPREAD = 0.1
_LOST_LOSS = 0.9
_DOMINATED = 0.5  # by the loss
_PATIENCE = 50  # penalised steps
_MEMORY = 0.9


class CollapseGuard:
    """Halves a factor of the weight at every penalised step at which the network shows one of two signs of a collapse.

    - The samples of a layer come together: their mean distance over their norm is below a tenth of what it was first.
    - The network does not learn: after 50 penalised steps the loss, a running mean, is 90 % of the untrained network's
      or more, and the penalty's gradient is at least half of that of the loss, or not compared with it.

    The factor does not rise again.

    Attributes:
        factor: The factor, 1 at first.
    """

    def __init__(self, notices: Notices) -> None:
        self.factor = 1.0
        self._spreads: dict[str, float] = {}
        self._untrained = self._mean = math.nan
        self._steps = 0
        self._notices = notices

    def begin(self, loss: float) -> None:
        """Remember the loss of the untrained network."""
        if math.isnan(self._untrained):
            self._untrained = self._mean = loss

    def see_spreads(self, spreads: Mapping[str, float], moment: str) -> None:
        """Lower the factor if the samples of a layer come together, and warn once of each such layer."""
        for name, spread in spreads.items():
            self._spreads.setdefault(name, spread)
        lost = {name: spread for name, spread in spreads.items() if spread < _LOST_SPREAD * self._spreads[name]}
        for name, spread in lost.items():
            self._notices.warn(
                f"TopoLipRegularizer lowers its weight from {moment} on: layer {name!r} tells the samples apart less "
                f"and less, their mean distance over their norm is {spread:.2g} after {self._spreads[name]:.2g} at "
                "first. Take a smaller `weight` or `max_ratio`, or a later `start`.",
                key=("spread", name),
            )
        if lost:
            self.factor /= 2

    def see_loss(self, loss: float, ratio: float, moment: str) -> None:
        """Lower the factor if the network does not learn under a penalty of this ratio, NaN if unknown; warn once."""
        if not (math.isfinite(self._untrained) and math.isfinite(loss)):
            return
        self._steps += 1
        self._mean = _MEMORY * self._mean + (1 - _MEMORY) * loss
        allowed = self._untrained - (1 - _LOST_LOSS) * abs(self._untrained)
        if self._steps > _PATIENCE and self._mean >= allowed and not ratio < _DOMINATED:
            beside = f", while the gradient of the penalty is {ratio:.2g} times that of the loss" if ratio > 0 else ""
            self._notices.warn(
                f"TopoLipRegularizer lowers its weight from {moment} on: the loss is {self._mean:.3g} after "
                f"{self._untrained:.3g} before training{beside}. Take a smaller `weight` or `max_ratio`, or a later "
                "`start`.",
                key="loss",
            )
            self.factor /= 2

    def state_dict(self) -> dict[str, Any]:
        """What the guard knows, as plain values."""
        return {
            "factor": self.factor,
            "spreads": dict(self._spreads),
            "untrained": self._untrained,
            "mean": self._mean,
            "steps": self._steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self.factor, self._spreads, self._steps = float(state["factor"]), dict(state["spreads"]), int(state["steps"])
        self._untrained, self._mean = float(state["untrained"]), float(state["mean"])
