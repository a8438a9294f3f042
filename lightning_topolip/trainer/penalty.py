"""The penalty of one training forward: its value, the spread of its layers, and its gradient on their outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lightning_topolip.loss.distances import distances_with_gradient
from lightning_topolip.loss.functional import Quantity, loss_of_distances
from lightning_topolip.topology.settings import Settings
from lightning_topolip.trainer.training_outputs import LayerOutput, norm_of


class Penalty:
    """A quantity of the layers' outputs, or its distance from a target.

    Args:
        outputs: The outputs by name, in the order of execution.
        quantity: The quantity.
        target: The value to steer to; None for the quantity itself.
        settings: The settings of the analysis.

    Attributes:
        value: The quantity.
        spreads: The relative spread of every layer: mean distance of two samples over their root mean square norm.

    Raises:
        ValueError: If an output cannot be reduced to a cloud or is not finite; the text names the layer.
    """

    def __init__(
        self, outputs: Mapping[str, LayerOutput], quantity: Quantity, target: float | None, settings: Settings
    ) -> None:
        self._outputs: Sequence[LayerOutput] = list(outputs.values())
        self.spreads: dict[str, float] = {}
        matrices = []
        with torch.enable_grad():
            for name, output in outputs.items():
                try:
                    cloud = output.cloud(settings.reduction)
                    matrices.append(distances_with_gradient(cloud))
                except ValueError as error:
                    raise ValueError(f"Layer {name!r}: {error}") from error
                self.spreads[name] = _relative_spread(cloud.detach(), matrices[-1].detach())
            value = loss_of_distances(matrices, quantity, settings)
            self._penalty = value if target is None else (value - target).abs()
        self.value = float(value.detach())

    def norm(self) -> float:
        """The norm of the penalty's gradient at the outputs."""
        return math.hypot(*map(norm_of, self._gradients(1.0)))

    def add(self, factor: float) -> None:
        """Have ``factor`` times the gradient of the penalty added to the outputs' gradients in a backward pass."""
        for output, gradient in zip(self._outputs, self._gradients(factor), strict=True):
            output.addition, output.reached = gradient, False

    def compare(self) -> None:
        """Have the norm of the outputs' gradients taken in a backward pass, and nothing added."""
        for output in self._outputs:
            output.is_compared, output.reached = True, False

    def _gradients(self, factor: float) -> Sequence[Tensor]:
        leaves = [output.rows for output in self._outputs]
        weight = torch.full_like(self._penalty, factor)
        return torch.autograd.grad(self._penalty, leaves, weight, retain_graph=True)


def _relative_spread(cloud: Tensor, distances: Tensor) -> float:
    n = len(cloud)
    norm = norm_of(cloud)
    mean_distance = float(distances.cpu().sum(dtype=torch.float64)) / (n * (n - 1))
    return mean_distance / (norm / math.sqrt(n)) if norm > 0 else 0.0
