"""Local Lipschitz constants and their bounds, step by step and end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from lightning_topolip.lipschitz import OUTPUT, layer_bounds, layer_lipschitz
from lightning_topolip.study.measures.measured import Measured
from lightning_topolip.topology.names import INPUT, NETWORK


def lipschitz(model: nn.Module, images: Tensor, layers: Sequence[str], tolerance: float) -> Iterator[Measured]:
    """Give the constants of every step between layers and of the whole network.

    Args:
        model: The network.
        images: Samples of the probe, shape ``(n, C, H, W)``.
        layers: Names of the layers, in the order of execution.
        tolerance: Of the power iteration.

    Yields:
        ``local_lipschitz`` (variants ``max`` and ``mean`` over the samples, lower bounds) and ``lipschitz_bound``
        (``upper``), named by the step's later layer, ``"<output>"`` after the last, ``"<network>"`` end to end.
    """
    local = layer_lipschitz(model, images, layers, tolerance=tolerance, batch_size=len(images))
    for step, found in local.steps.items():
        yield Measured("local_lipschitz", found.max, "max", _name(step))
        yield Measured("local_lipschitz", found.mean, "mean", _name(step))
    for step, bound in layer_bounds(model, images, layers).steps.items():
        yield Measured("lipschitz_bound", bound.value, "upper", _name(step))


def _name(step: tuple[str, str]) -> str:
    return NETWORK if step == (INPUT, OUTPUT) else step[1]
