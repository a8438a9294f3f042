"""How large the penalty's gradient is beside that of the loss, at the outputs of the layers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from lightning_topolip.trainer.training_outputs import LayerOutput

_LONGEST_INTERVAL = 64


class GradientRatio:
    """Compares the gradients that the penalty and the loss have at the layers' outputs.

    That of the loss alone arrives in a backward pass without a penalty. So at some of the steps the penalty is not
    added but compared: at the first ones, then at intervals that double up to 64.

    Attributes:
        loss_norm: Norm of the loss's gradient at the outputs when it was compared last; NaN before.
    """

    def __init__(self) -> None:
        self.loss_norm = math.nan
        self._count = 0

    @property
    def is_due(self) -> bool:
        """Whether the next step is one of comparison."""
        doubling = not self._count & (self._count - 1)
        return doubling or self._count % _LONGEST_INTERVAL == 0 or math.isnan(self.loss_norm)

    def see(self, outputs: Collection[LayerOutput], factor: float) -> None:
        """Take the gradients that a backward pass without a penalty brought, of a loss scaled by a factor."""
        norms = [output.gradient_norm for output in outputs if output.reached]
        norm = math.hypot(*norms) / factor
        if norms and math.isfinite(norm):
            self.loss_norm = norm

    def count(self) -> None:
        """Count a step."""
        self._count += 1

    def of(self, penalty_norm: float) -> float:
        """The ratio of a penalty whose gradient at the outputs has this norm; NaN before the first comparison."""
        return penalty_norm / self.loss_norm if self.loss_norm > 0 else math.nan

    def state_dict(self) -> dict[str, float]:
        """What is remembered, as plain values."""
        return {"loss_norm": self.loss_norm, "count": self._count}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from a state."""
        self.loss_norm, self._count = float(state["loss_norm"]), int(state["count"])
