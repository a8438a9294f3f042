"""Local Lipschitz constants and their upper bounds, for every step between layers and for the whole network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from lightning_topolip.lipschitz import OUTPUT, layer_bounds, layer_lipschitz
from lightning_topolip.study.measures.quantity import Quantity
from lightning_topolip.topology.names import INPUT, NETWORK


def local_lipschitz(model: nn.Module, images: Tensor, layers: Sequence[str], tolerance: float) -> Iterator[Quantity]:
    """Yield ``local_lipschitz``, a lower bound, and ``lipschitz_bound``, an upper bound, of every step.

    A step is named by its later layer, ``"<output>"`` after the last layer, ``"<network>"`` for the whole network.
    """
    local = layer_lipschitz(model, images, layers, tolerance=tolerance, batch_size=len(images))
    for step, constants in local.steps.items():
        yield Quantity("local_lipschitz", constants.max, "max", _name(step))
        yield Quantity("local_lipschitz", constants.mean, "mean", _name(step))
    for step, bound in layer_bounds(model, images, layers).steps.items():
        yield Quantity("lipschitz_bound", bound.value, "upper", _name(step))


def _name(step: tuple[str, str]) -> str:
    return NETWORK if step == (INPUT, OUTPUT) else step[1]
