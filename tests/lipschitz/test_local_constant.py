"""Local constants where an iteration is easily misled: rare directions, unlucky starts, extreme gains, odd layers."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lightning_topolip.lipschitz import OUTPUT, layer_lipschitz, local_lipschitz
from lightning_topolip.models import AttentionClassifier, ConvClassifier, ResNetClassifier, ViTClassifier
from lightning_topolip.topology.names import INPUT


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def norms_of_jacobians(function: Callable[[Tensor], Tensor], inputs: Tensor) -> np.ndarray:
    """Largest singular value of each sample's Jacobian, row by row in float64."""
    point = inputs.double().requires_grad_()
    outputs = function(point).flatten(1)
    rows = [torch.autograd.grad(column.sum(), point, retain_graph=True)[0].flatten(1) for column in outputs.T]
    return torch.linalg.matrix_norm(torch.stack(rows, dim=1), 2).detach().numpy()


def unit(dimension: int, seed: int = 5) -> Tensor:
    vector = torch.from_numpy(np.random.default_rng(seed).normal(size=dimension)).float()
    return vector / vector.norm()


def along_a_vector(dimension: int) -> Callable[[Tensor], Tensor]:
    u = unit(dimension)
    return lambda x: x + 0.2 * (x @ u)[:, None] * u


def along_a_pixel(dimension: int) -> Callable[[Tensor], Tensor]:
    gains = torch.ones(dimension)
    gains[dimension // 3] = 1.2
    return lambda x: gains * x


def along_an_image(dimension: int) -> Callable[[Tensor], Tensor]:
    u, side = unit(dimension, seed=6), int((dimension // 4) ** 0.5)
    rotate = nn.Flatten()
    return lambda x: (rotate(x).flip(1) + 0.2 * (rotate(x) @ u)[:, None] * u.flip(0)).reshape(-1, 4, side, side)


@pytest.mark.parametrize("function", [along_a_vector, along_a_pixel, along_an_image])
@pytest.mark.parametrize("seed", range(3))
def test_a_rare_direction_is_found(function: Callable[[int], Callable[[Tensor], Tensor]], seed: int) -> None:
    local = local_lipschitz(function(16384), torch.zeros(4, 16384), seed=seed)
    assert local.converged
    assert local.values == pytest.approx(1.2, rel=1e-2)
    assert (local.upper >= 1.2 * (1 - 1e-6)).all()


@pytest.mark.parametrize("gain", [1.011, 1.05, 3.0])
def test_a_rare_direction_of_any_gain_is_found_to_within_the_tolerance(gain: float) -> None:
    u = unit(4096)
    local = local_lipschitz(lambda x: x + (gain - 1) * (x @ u)[:, None] * u, torch.zeros(6, 4096))
    assert local.converged
    assert (local.values >= gain / 1.01).all()
    assert (local.values <= gain * (1 + 1e-5)).all()


def test_a_spectrum_without_a_gap_is_known_to_within_the_tolerance() -> None:
    gains = torch.linspace(0, 1, 1024) ** 0.25
    for tolerance in (0.1, 1e-2):
        local = local_lipschitz(lambda x: gains * x, torch.zeros(8, 1024), tolerance=tolerance)
        assert local.converged
        assert (local.values >= 1 / (1 + tolerance)).all()
        assert (local.values <= 1 + 1e-6).all()


def test_the_norm_lies_between_value_and_upper_whenever_the_iteration_stops() -> None:
    random = np.random.default_rng(3)
    for spectrum in (np.geomspace(1e-3, 1, 60), np.r_[np.full(59, 0.8), 1.0], random.uniform(size=60)):
        rotations = [np.linalg.qr(random.normal(size=(60, 60)))[0] for _ in range(2)]
        matrix = torch.from_numpy(rotations[0] @ np.diag(spectrum) @ rotations[1])
        for steps in (1, 2, 3, 6, 12):
            local = local_lipschitz(
                lambda x, matrix=matrix: x @ matrix.T, torch.zeros(200, 60).double(), tolerance=1e-9,
                max_iterations=steps, batch_size=200,
            )  # fmt: skip
            assert (local.values <= spectrum.max() * (1 + 1e-12)).all()
            assert (local.upper >= spectrum.max() * (1 - 1e-9)).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_start_does_not_depend_on_what_the_user_drew(seed: int) -> None:
    """Normalisation has no gain along its own sample: a start parallel to the probe would give 0."""
    probes = [
        torch.randn(64, 64, generator=torch.Generator().manual_seed(seed)),
        torch.from_numpy(np.random.default_rng(seed).normal(size=(64, 64))).float(),
        torch.from_numpy(np.random.RandomState(seed).normal(size=(64, 64))).float(),
    ]
    for probe in probes:
        local = local_lipschitz(nn.functional.normalize, probe, seed=seed)
        assert local.converged
        assert local.values == pytest.approx(1 / probe.norm(dim=1).numpy(), rel=1e-3)


def test_the_values_do_not_depend_on_the_global_generators() -> None:
    model, probe = nn.Sequential(nn.Linear(20, 30), nn.Tanh()), torch.rand(5, 20)
    first = local_lipschitz(model, probe)
    torch.randn(7)
    np.random.seed(4)
    assert np.array_equal(local_lipschitz(model, probe).values, first.values)


def test_zero_is_never_converged_after_one_step() -> None:
    for function in (
        lambda x: 0 * x,
        lambda x: x.round(),
        lambda x: x[:, :3].detach(),
        nn.functional.relu,
    ):
        local = local_lipschitz(function, -torch.ones(3, 8))
        assert not local.values.any()
        assert not local.upper.any()
        assert local.converged
        assert local.iterations >= 2
        assert not local_lipschitz(function, -torch.ones(3, 8), max_iterations=1).converged


GAINS = [1e20, 1e-37, 1e30, 1e-30, 3e38, 1e-40]


@pytest.mark.parametrize("gain", GAINS)
def test_gains_of_any_size_neither_overflow_nor_vanish(gain: float) -> None:
    weight = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (12, 9))).float()
    weight = weight / torch.linalg.matrix_norm(weight, 2)
    local = local_lipschitz(lambda x: (x @ weight.T) * gain, torch.zeros(3, 9))
    assert local.converged
    assert local.values == pytest.approx(gain, rel=1e-2)


def test_gains_beyond_the_range_of_the_dtype_are_measured() -> None:
    for gain, factors in ((1e-50, (1e-25, 1e-25)), (1e40, (1e20, 1e20)), (1e50, (1e25, 1e25))):

        def function(x: Tensor, factors: tuple[float, ...] = factors) -> Tensor:
            for factor in factors:
                x = x * factor
            return x

        assert local_lipschitz(function, torch.zeros(2, 5)).values == pytest.approx(gain, rel=1e-5)


def test_each_sample_has_its_own_range() -> None:
    gains = torch.tensor([1e20, 1.0, 1e-37, 0.0])[:, None]
    local = local_lipschitz(lambda x: x * gains, torch.zeros(4, 6))
    assert local.converged
    assert local.values == pytest.approx(gains[:, 0].numpy(), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_measured_in_its_own_precision(dtype: torch.dtype) -> None:
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 40))).to(dtype)
    local = local_lipschitz(lambda x: x @ weight.T, torch.zeros(3, 40, dtype=dtype))
    assert local.converged
    assert local.values == pytest.approx(float(torch.linalg.matrix_norm(weight.double(), 2)), rel=2e-2)


class Once(torch.autograd.Function):
    """Tanh with a backward pass that cannot be differentiated, and without a forward mode."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x.tanh())
        return x.tanh()

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient * (1 - context.saved_tensors[0] ** 2)


@pytest.mark.parametrize(
    "layer",
    [nn.Hardsigmoid(), lambda x: nn.functional.hardsigmoid(2 * x) * x, nn.Hardswish(), nn.RReLU(), nn.GLU()],
    ids=["hardsigmoid", "squeeze and excitation", "hardswish", "rrelu", "glu"],
)
def test_a_layer_whose_backward_pass_has_no_derivative_has_a_constant(layer: Callable[[Tensor], Tensor]) -> None:
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 6)))
    probe = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 6)))

    def function(x: Tensor) -> Tensor:
        return layer(x @ weight.T)

    if isinstance(layer, nn.Module):
        layer.eval()
    local = local_lipschitz(function, probe, tolerance=1e-6)
    assert local.converged
    assert local.values == pytest.approx(norms_of_jacobians(function, probe), rel=1e-6)


def test_a_skip_connection_does_not_hide_a_part_without_a_derivative() -> None:
    for function in (lambda x: x + Once.apply(x), lambda x: torch.cat([3 * x, Once.apply(x)], 1), Loose.apply):
        with pytest.raises(NotImplementedError, match="parts of it are not differentiable"):
            local_lipschitz(function, torch.rand(1, 40))


class Loose(torch.autograd.Function):
    """A backward pass of its own on detached arrays, which autograd cannot follow."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return torch.from_numpy(2 * gradient.detach().numpy())


def test_a_layer_without_both_gets_a_reason_and_the_others_their_constant() -> None:
    class Custom(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Once.apply(x)

    model = nn.Sequential(nn.Linear(4, 4), Custom(), nn.Linear(4, 4))
    with pytest.raises(NotImplementedError, match=r"backward pass has no derivative .* and forward mode fails"):
        local_lipschitz(model, torch.rand(3, 4))
    constants = layer_lipschitz(model, torch.rand(3, 4), ["0", "1", "2"])
    assert list(constants.steps) == [(INPUT, "0"), ("1", "2"), ("2", OUTPUT)]
    assert constants.failures.keys() == {("0", "1"), (INPUT, OUTPUT)}
    assert all("the backward pass has no derivative" in reason for reason in constants.failures.values())


BUNDLED = [ResNetClassifier, ViTClassifier, ConvClassifier, AttentionClassifier]


@pytest.mark.parametrize("classifier", BUNDLED)
def test_the_bundled_networks_have_the_norms_of_their_jacobians(classifier: Callable[..., nn.Module]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = classifier(size="micro").eval()
    probe = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    local = local_lipschitz(model, probe)
    assert local.converged
    assert local.values == pytest.approx(norms_of_jacobians(model.double(), probe), rel=1e-3)


TIMM = {
    "resnet10t": 64,
    "efficientnet_lite0": 32,
    "mobilenetv3_small_050": 64,
    "vit_tiny_patch16_224": 32,
    "convnext_atto": 64,
    "mixer_s32_224": 64,
    "regnetx_002": 64,
}


@pytest.mark.parametrize("name", TIMM)
def test_families_of_timm_have_the_norms_of_their_jacobians(name: str) -> None:
    options = {"img_size": TIMM[name]} if "224" in name else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=5, **options).eval()
        nn.init.normal_(model.get_classifier().weight)
    probe = torch.rand(2, 3, TIMM[name], TIMM[name], generator=torch.Generator().manual_seed(0))
    local = local_lipschitz(model, probe)
    assert local.converged
    assert local.values == pytest.approx(norms_of_jacobians(model.double(), probe), rel=1e-2)
