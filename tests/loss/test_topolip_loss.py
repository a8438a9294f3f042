"""The loss against `analyze`, against central differences, and at the places where a gradient could fail."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_topolip import TopoLipLoss, analyze, distance_matrix, persistence_diagrams, topolip_loss
from lightning_topolip.loss.distances import distances_with_gradient
from lightning_topolip.robustness import perturbation_drifts

ORDERS = [1.0, 1.5, 2.0, 3.0, math.inf]
QUANTITIES = ["score", "speed_mean", "speed_max", "gain"]


def path(count: int = 4, n: int = 20, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3 + index, generator=generator, dtype=dtype).requires_grad_() for index in range(count)]


def perturbed(clouds: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(9)
    return [
        (cloud.detach() + 0.1 * torch.randn(cloud.shape, generator=generator, dtype=cloud.dtype)).requires_grad_()
        for cloud in clouds
    ]


class Replay(nn.Module):
    """A network whose layers put out given clouds, chosen by the first entry of the batch."""

    def __init__(self, *paths: list[Tensor]) -> None:
        super().__init__()
        self.paths = paths
        self.layers = nn.ModuleList([nn.Identity() for _ in paths[0]])

    def forward(self, batch: Tensor) -> Tensor:
        clouds = self.paths[int(batch[0, 0])]
        return [layer(cloud.detach()) for layer, cloud in zip(self.layers, clouds, strict=True)][-1]


@pytest.mark.parametrize("view", ["scaled", "raw"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("quantity", ["score", "speed_mean", "speed_max"])
def test_the_number_is_that_of_an_analysis(quantity: Any, view: Any, order: float) -> None:
    clouds = path(dtype=torch.float32)
    report = analyze(Replay(clouds), torch.zeros(20, 1), "layers.*", view=view, order=order, include_input=False)
    loss = topolip_loss(clouds, quantity, view, order)
    assert loss.item() == pytest.approx(getattr(report, quantity), rel=1e-6)


@pytest.mark.parametrize("view", ["scaled", "raw"])
def test_the_gain_is_that_of_a_perturbation_path(view: Any) -> None:
    clean = path(dtype=torch.float32)
    noisy = perturbed(clean)
    model = Replay(clean[1:], noisy[1:])
    reports = {
        float(strength): analyze(model, torch.cat([torch.full((20, 1), strength), cloud.detach()], 1), "layers.*")
        for strength, cloud in enumerate((clean[0], noisy[0]))
    }
    gains = perturbation_drifts(reports, view).displacements[1:, 0]
    first = analyze(Replay([clean[0], noisy[0]]), torch.zeros(20, 1), "layers.*", view=view).curve[-1]
    loss = topolip_loss(clean, "gain", view, perturbed=noisy)
    assert loss.item() == pytest.approx((gains / first).mean(), rel=1e-5)


@pytest.mark.parametrize("view", ["scaled", "raw"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("dimensions", [(0,), (1,), (0, 1)])
def test_gradients_are_central_differences(quantity: Any, view: Any, order: float, dimensions: Any) -> None:
    clouds = path()
    others = perturbed(clouds) if quantity == "gain" else None
    moved, step = [*clouds, *(others or [])], 1e-6

    def loss() -> Tensor:
        return topolip_loss(clouds, quantity, view, order, dimensions, perturbed=others)

    loss().backward()
    generator = torch.Generator().manual_seed(3)
    directions = [torch.randn(cloud.shape, generator=generator, dtype=cloud.dtype) for cloud in moved]
    exact = sum(float((cloud.grad * way).sum()) for cloud, way in zip(moved, directions, strict=True))
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for cloud, way in zip(moved, directions, strict=True):
                cloud.add_(way, alpha=sign * step)
            ends.append(loss().item())
            for cloud, way in zip(moved, directions, strict=True):
                cloud.sub_(way, alpha=sign * step)
    assert exact == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def dense(cloud: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the sum of weighted distances, from differences in float64."""
    points = cloud.detach().double()
    difference = points[:, None] - points[None]
    lengths = difference.norm(dim=-1)
    units = difference / lengths.masked_fill(lengths == 0, torch.inf)[..., None]
    return ((weights + weights.T).double()[..., None] * units).sum(dim=1)


CLOUDS: dict[str, Callable[[torch.Generator], Tensor]] = {
    "spread": lambda g: torch.randn(30, 200, generator=g),
    "offset": lambda g: torch.randn(30, 40, generator=g) + 1e4,
    "tight clusters": lambda g: (
        torch.randn(3, 50, generator=g).repeat_interleave(10, 0) + 1e-5 * torch.randn(30, 50, generator=g)
    ),
    "one far point": lambda g: torch.cat([torch.randn(29, 5, generator=g), torch.full((1, 5), 1e5)]),
    "duplicates": lambda g: torch.randn(10, 5, generator=g).repeat(3, 1),
    "tiny": lambda g: 1e-25 * torch.randn(20, 30, generator=g),
    "huge": lambda g: 1e30 * torch.randn(20, 30, generator=g),
    "bfloat16": lambda g: torch.randn(20, 100, generator=g).bfloat16(),
    "float64": lambda g: torch.randn(20, 100, generator=g, dtype=torch.float64) + 1e7,
}


@pytest.mark.parametrize("kind", CLOUDS)
def test_gradients_of_distances_are_unit_vectors(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    cloud = CLOUDS[kind](generator).requires_grad_()
    distances = distances_with_gradient(cloud)
    weights = torch.randn(distances.shape, generator=generator, dtype=distances.dtype)
    (gradient,) = torch.autograd.grad(distances, cloud, weights)
    expected = dense(cloud, weights)
    tolerance = 1e-2 if cloud.dtype == torch.bfloat16 else 2e-4
    assert gradient.dtype == cloud.dtype
    assert float((gradient.double() - expected).norm() / expected.norm()) < tolerance


def test_gradients_of_complex_clouds_are_those_of_their_real_and_imaginary_parts() -> None:
    parts = torch.randn(15, 4, 2, generator=torch.Generator().manual_seed(0))
    cloud, flat = torch.view_as_complex(parts).requires_grad_(), parts.flatten(1).requires_grad_()
    weights = torch.randn(15, 15, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(distances_with_gradient(cloud), cloud, weights)
    (expected,) = torch.autograd.grad(distances_with_gradient(flat), flat, weights)
    torch.testing.assert_close(torch.view_as_real(gradient).flatten(1), expected)
    (conjugate,) = torch.autograd.grad(distances_with_gradient(cloud.conj()), cloud, weights)
    torch.testing.assert_close(conjugate, gradient)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_autocast_and_low_precision_products_change_nothing(precision: str) -> None:
    cloud = torch.randn(20, 300, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (expected,) = torch.autograd.grad(distances_with_gradient(cloud).sum(), cloud)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            (gradient,) = torch.autograd.grad(distances_with_gradient(cloud).sum(), cloud)
    finally:
        torch.set_float32_matmul_precision(before)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def circle(n: int, radius: float) -> Tensor:
    angles = torch.arange(n) * (2 * math.pi / n)
    return radius * torch.stack([angles.cos(), angles.sin()], dim=1)


DEGENERATE: dict[str, Callable[[], list[Tensor]]] = {
    "coincident points": lambda: [torch.randn(12, 3), torch.randn(4, 3).repeat(3, 1), torch.randn(12, 3)],
    "a collapsed layer": lambda: [torch.randn(12, 3), torch.ones(12, 3), torch.randn(12, 3)],
    "all layers collapsed": lambda: [torch.zeros(12, 3)] * 3,
    "identical layers": lambda: [torch.arange(36.0).reshape(12, 3)] * 4,
    "no loops": lambda: [torch.arange(12.0)[:, None] * factor for factor in (1.0, 2.0, 4.0)],
    "ties": lambda: [circle(12, 1.0), circle(12, 2.0), torch.cat([circle(6, 1.0), circle(6, 3.0)])],
}


@pytest.mark.parametrize("view", ["scaled", "raw"])
@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("quantity", ["score", "speed_mean", "speed_max"])
@pytest.mark.parametrize("kind", DEGENERATE)
def test_gradients_are_finite_everywhere(kind: str, quantity: Any, order: float, view: Any) -> None:
    torch.manual_seed(0)
    clouds = [cloud.clone().requires_grad_() for cloud in DEGENERATE[kind]()]
    loss = topolip_loss(clouds, quantity, view, order)
    loss.backward()
    assert math.isfinite(loss.item())
    for cloud in clouds:
        assert cloud.grad is None or cloud.grad.isfinite().all()


def test_descent_along_the_gradient_makes_a_path_even() -> None:
    clouds = path(5, 16, dtype=torch.float32)
    optimizer = torch.optim.Adam(clouds, lr=0.02)
    first = topolip_loss(clouds).item()
    for _ in range(60):
        optimizer.zero_grad()
        topolip_loss(clouds).backward()
        optimizer.step()
    assert topolip_loss(clouds).item() < first / 3


@pytest.mark.parametrize("engine", ["giotto", "ripser", "gudhi", "redzed"])
def test_every_engine_gives_the_same_gradient(engine: Any) -> None:
    pytest.importorskip({"giotto": "gph", "ripser": "ripser", "gudhi": "gudhi", "redzed": "redzed_tda"}[engine])
    clouds, others = path(), path()
    topolip_loss(clouds).backward()
    topolip_loss(others, engine=engine).backward()
    for cloud, other in zip(clouds, others, strict=True):
        torch.testing.assert_close(other.grad, cloud.grad)


def test_births_and_deaths_move_with_their_edges() -> None:
    """A square's loop is born at a side and dies at a diagonal: the closed form of its gradient."""
    square = torch.tensor([[0.0, 0.0], [1.02, 0.0], [1.0, 1.0], [0.01, 1.1]], dtype=torch.float64)
    (birth, death) = persistence_diagrams(distance_matrix(square))[1][0]
    line = torch.arange(4, dtype=torch.float64)[:, None]
    moving = square.clone().requires_grad_()
    loss = topolip_loss([moving, line], "speed_mean", "raw", 1.0, (1,))
    loss.backward()
    assert loss.item() == pytest.approx((death - birth) / 2 / 4, rel=1e-6)
    lengths = torch.cdist(square, square)
    ends = {value: (lengths - value).abs().argmin().item() for value in (birth, death)}
    expected = torch.zeros_like(square)
    for value, sign in ((birth, -1), (death, 1)):
        first, second = divmod(ends[value], 4)
        unit = (square[first] - square[second]) / lengths[first, second]
        expected[first] += sign * unit / 8
        expected[second] -= sign * unit / 8
    torch.testing.assert_close(moving.grad, expected)


def test_the_module_is_the_function() -> None:
    clouds = path()
    module = TopoLipLoss("speed_max", "raw", 1.0, (0,))
    assert module(clouds).item() == topolip_loss(clouds, "speed_max", "raw", 1.0, (0,)).item()
    others = perturbed(clouds)
    assert TopoLipLoss("gain")(clouds, others).item() == topolip_loss(clouds, "gain", perturbed=others).item()
    assert repr(module) == "TopoLipLoss('speed_max', view='raw', order=1, dimensions=(0,))"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_scalar_is_at_least_float32(dtype: torch.dtype) -> None:
    loss = topolip_loss([cloud.detach().to(dtype).requires_grad_() for cloud in path()])
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    loss.backward()


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of torch itself, at a graph break
def test_a_compiled_step_takes_it_eagerly() -> None:
    def step(clouds: list[Tensor]) -> Tensor:
        return 2 * topolip_loss([cloud * 1.0 for cloud in clouds])

    clouds = path()
    compiled: Callable[[list[Tensor]], Tensor] = torch.compile(step, backend="eager")
    assert compiled(clouds).item() == step(clouds).item()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clouds": path(2)}, "Argument `clouds` must hold 3 floating-point tensors or more of shape (n, d), got (20"),
        ({"clouds": []}, "got none; flatten"),
        ({"clouds": [torch.zeros(5, 2, 2)] * 3}, "of shape (n, d), got (5, 2, 2)"),
        ({"clouds": [torch.zeros(5, 2).long()] * 3}, "floating-point"),
        ({"clouds": [[1.0]] * 3}, "got list, list, list"),
        ({"clouds": [*path(2), torch.zeros(5, 2)]}, "clouds of the same n >= 3 points"),
        ({"clouds": [torch.zeros(2, 2)] * 3}, "n >= 3"),
        ({"clouds": [*path(2), torch.full((20, 2), math.nan)]}, "Argument `clouds`, cloud 2: "),
        ({"quantity": "roughness"}, "Argument `quantity` must be one of"),
        ({"view": "other"}, "Argument `view` must be one of"),
        ({"order": 0.5}, "Argument `order` must be"),
        ({"dimensions": ()}, "Argument `dimensions` must"),
        ({"engine": "other"}, "Argument `engine` must be one of"),
        ({"perturbed": path()}, "Argument `perturbed` must be None unless quantity is 'gain'"),
        ({"quantity": "gain"}, "Argument `perturbed` must hold the clouds of a perturbed copy"),
        ({"quantity": "gain", "perturbed": path(3)}, "Argument `perturbed` must hold 4 clouds of 20 points"),
        ({"quantity": "gain", "perturbed": path()}, "take a larger perturbation"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        topolip_loss(**{"clouds": path(), **arguments})
