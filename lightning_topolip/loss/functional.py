"""The smoothness of a path of point clouds as a differentiable number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_topolip.arguments import require_one_of
from lightning_topolip.loss.diagrams import diagrams_with_gradient
from lightning_topolip.loss.distances import distances_with_gradient
from lightning_topolip.loss.drifts import diagram_distance, distances_along
from lightning_topolip.network.eagerly import eagerly
from lightning_topolip.topology.drifts import per_sample
from lightning_topolip.topology.engines import Engine
from lightning_topolip.topology.settings import Settings, View

Quantity = Literal["score", "speed_mean", "speed_max", "gain"]
QUANTITIES: tuple[str, ...] = get_args(Quantity)

_OF_DRIFTS: dict[str, Callable[[Tensor], Tensor]] = {
    "score": lambda drifts: drifts.diff().abs().mean(),
    "speed_mean": torch.mean,
    "speed_max": torch.amax,
}
FEWEST_CLOUDS = {"score": 3, "speed_mean": 2, "speed_max": 2, "gain": 2}


@eagerly
def topolip_loss(
    clouds: Sequence[Tensor],
    quantity: Quantity = "score",
    view: View = "scaled",
    order: float = 2.0,
    dimensions: Sequence[int] = (0, 1),
    engine: Engine = "auto",
    *,
    perturbed: Sequence[Tensor] | None = None,
) -> Tensor:
    """Measure how smoothly samples travel along a path of point clouds, as a number with a gradient.

    The number is that of `analyze` with the same settings, for clouds in float32 to the last digits. Its gradient is
    that of the same number with the pairs of points that make births and deaths, see `persistence_edges`, and the
    matchings of diagrams, see `wasserstein_matching`, held fixed. That is the gradient almost everywhere; at ties,
    between coincident points and between equal diagrams it is a subgradient, and always finite. Descent by such
    subgradients converges (arXiv:2010.08356).

    Args:
        clouds: The outputs of layers for the same n >= 3 samples, in the order of the network, each of shape
            ``(n, d)`` with a ``d`` of its own, on any device, of any floating dtype; flatten other shapes first.
        quantity: ``"score"``: TopoLip, how unevenly the diagrams travel, of three clouds or more. ``"speed_mean"``,
            ``"speed_max"``: their mean and largest drift, of two or more. ``"gain"``: by which factor the layers
            amplify a perturbation, the mean over the clouds after the first, which is the network's input.
        view: ``"scaled"`` (distances over their mean) or ``"raw"``.
        order: Order p of the Wasserstein distance, from 1 to ``math.inf``.
        dimensions: Homology dimensions.
        engine: The engine for persistence, see `persistence_edges`.
        perturbed: For ``"gain"``, the same path for a perturbed copy of the samples.

    Returns:
        A scalar on the device of the clouds, float32, or float64 for clouds in float64. A cloud whose points all
        coincide counts as empty diagrams, where `analyze` has NaN.

    Raises:
        ValueError: If an argument is not allowed, a cloud is not finite, or the diagrams of the perturbed input are
            those of the input.

    Source:
        Gradients: arXiv:2010.08356. The score: after arXiv:2410.17628.

    Example:
        >>> clouds = [torch.randn(16, 4, requires_grad=True) for _ in range(4)]
        >>> loss = topolip_loss(clouds)
        >>> loss.backward()
        >>> clouds[0].grad.shape
        torch.Size([16, 4])
    """
    require_one_of("quantity", quantity, QUANTITIES)
    settings = Settings.from_options({"view": view, "order": order, "dimensions": dimensions, "engine": engine})
    distances = _distances_along("clouds", clouds, FEWEST_CLOUDS[quantity])
    if quantity == "gain":
        value = _gain(distances, _perturbed_distances(clouds, perturbed), settings)
    elif perturbed is not None:
        raise ValueError(f"Argument `perturbed` must be None unless quantity is 'gain', got it with {quantity!r}.")
    else:
        value = loss_of_distances(distances, quantity, settings)
    double = any(matrix.dtype == torch.float64 for matrix in distances)
    return value.to(clouds[0].device, torch.float64 if double else torch.float32)


def loss_of_distances(distances: Sequence[Tensor], quantity: Quantity, settings: Settings) -> Tensor:
    """Compute a quantity of drifts from the distance matrices of a path of clouds, a scalar in float64 on the CPU."""
    path = [diagrams_with_gradient(matrix, settings) for matrix in distances]
    drifts = distances_along(path, settings.order) * per_sample(len(distances[0]), settings.order)
    return _OF_DRIFTS[quantity](drifts)


def _gain(distances: Sequence[Tensor], perturbed: Sequence[Tensor], settings: Settings) -> Tensor:
    path, other = ([diagrams_with_gradient(matrix, settings) for matrix in part] for part in (distances, perturbed))
    moved = torch.stack(
        [diagram_distance(clean, noisy, settings.order) for clean, noisy in zip(path, other, strict=True)]
    )
    if not float(moved[0].detach()) > 0.0:
        raise ValueError(
            "Argument `perturbed` must begin with an input whose diagrams differ from those of the clean input, got "
            "equal ones; take a larger perturbation."
        )
    return (moved[1:] / moved[0]).mean()


def _perturbed_distances(clouds: Sequence[Tensor], perturbed: Sequence[Tensor] | None) -> list[Tensor]:
    if perturbed is None:
        raise ValueError(
            "Argument `perturbed` must hold the clouds of a perturbed copy of the samples for quantity 'gain', got "
            "None; run the network once more on the inputs plus noise."
        )
    distances = _distances_along("perturbed", perturbed, FEWEST_CLOUDS["gain"])
    if len(perturbed) != len(clouds) or len(perturbed[0]) != len(clouds[0]):
        raise ValueError(
            f"Argument `perturbed` must hold {len(clouds)} clouds of {len(clouds[0])} points, as `clouds` does, got "
            f"{len(perturbed)} of {len(perturbed[0])}."
        )
    return distances


def _check_path(name: str, clouds: Sequence[Tensor], fewest: int) -> None:
    shapes = [tuple(cloud.shape) if isinstance(cloud, Tensor) else type(cloud).__name__ for cloud in clouds]
    floating = all(isinstance(cloud, Tensor) and (cloud.is_floating_point() or cloud.is_complex()) for cloud in clouds)
    if not floating or len(clouds) < fewest or any(len(shape) != 2 for shape in shapes):
        raise ValueError(
            f"Argument `{name}` must hold {fewest} floating-point tensors or more of shape (n, d), got "
            f"{_in_words(shapes)}; flatten the outputs of layers, such as `output.flatten(1)`."
        )
    if len({len(cloud) for cloud in clouds}) > 1 or len(clouds[0]) < 3:
        raise ValueError(
            f"Argument `{name}` must hold clouds of the same n >= 3 points, got {_in_words(shapes)}; every row is one "
            "sample."
        )


def _in_words(shapes: Sequence[object]) -> str:
    return ", ".join(map(str, shapes)) or "none"


def _distances_along(name: str, clouds: Sequence[Tensor], fewest: int) -> list[Tensor]:
    _check_path(name, clouds, fewest)
    matrices = []
    for index, cloud in enumerate(clouds):
        try:
            matrices.append(distances_with_gradient(cloud))
        except ValueError as error:
            raise ValueError(f"Argument `{name}`, cloud {index}: {error}") from error
    return matrices
