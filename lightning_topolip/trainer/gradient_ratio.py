"""How large the penalty's gradient is beside that of the loss, over all parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lightning_topolip.notices import Notices
from lightning_topolip.trainer.penalty import Penalty

_LONGEST_INTERVAL = 64


class GradientRatio:
    """The norm of the penalty's gradient over that of the loss's, measured by two more backward passes.

    It is measured at the first penalised steps, then at intervals that double up to 64 steps.

    Attributes:
        latest: The ratio of a weight of 1; NaN until it is measured.
    """

    def __init__(self, notices: Notices) -> None:
        self.latest = math.nan
        self.is_possible = True
        self._count = 0
        self._notices = notices

    def state_dict(self) -> dict[str, float]:
        """The latest ratio, and how many penalised steps there were."""
        return {"latest": self.latest, "count": self._count}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from a state."""
        self.latest, self._count = float(state["latest"]), int(state["count"])

    def update(self, pl_module: LightningModule, loss: Tensor, penalty: Penalty, factor: float) -> None:
        """Measure if it is due.

        Args:
            pl_module: The module with the parameters.
            loss: The loss, of which another backward pass follows.
            penalty: The penalty.
            factor: By which the loss was scaled.
        """
        count = self._count
        self._count += 1
        if not self.is_possible or (count & (count - 1) and count % _LONGEST_INTERVAL and not math.isnan(self.latest)):
            return
        parameters = [parameter for parameter in pl_module.parameters() if parameter.requires_grad]
        try:
            alone = _gradients(loss, parameters)
            penalty.add(factor)
            together = _gradients(loss, parameters)
        except RuntimeError as error:
            self.is_possible = False
            self._notices.warn(
                "TopoLipRegularizer cannot compare its gradient with that of the loss, so `max_ratio` limits nothing: "
                f"another backward pass raised {str(error).splitlines()[0]!r}."
            )
            return
        finally:
            penalty.withdraw()
        added = _norm([after - before for before, after in zip(alone, together, strict=True)])
        ratio = added / _norm(alone) if _norm(alone) > 0 else math.inf * (added > 0)
        if math.isfinite(ratio):
            self.latest = ratio


def _gradients(loss: Tensor, parameters: list[torch.nn.Parameter]) -> list[Tensor]:
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, gradients, strict=True)
    ]


def _norm(tensors: list[Tensor]) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) for tensor in tensors))
