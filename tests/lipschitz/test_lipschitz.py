"""Lower bounds against singular values of Jacobians, and the steps of networks from layer to layer."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.resnet import BasicBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from lightning_topolip.lipschitz import OUTPUT, layer_bounds, layer_lipschitz, local_lipschitz, pairwise_lipschitz
from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.topology.names import INPUT


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """With several threads, synchronisation takes longer than these small products."""
    torch.set_num_threads(1)


def jacobian_norms(function: Any, inputs: Tensor) -> np.ndarray:
    """Largest singular value of the Jacobian at each sample, computed in float64."""
    norms = []
    for sample in inputs.double():
        matrix = torch.autograd.functional.jacobian(lambda x: function(x[None].clone())[0], sample)
        norms.append(float(torch.linalg.svdvals(matrix.reshape(-1, sample.numel()))[0]))
    return np.array(norms)


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.attention(tokens, tokens, tokens)[0]


MODULES = {
    "dense": (lambda: nn.Linear(5, 7), (5,)),
    "perceptron": (lambda: nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3)), (5,)),
    "in place": (lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 3)), (5,)),
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.GELU(), nn.MaxPool2d(2)),
        (2, 8, 8),
    ),
    "residual": (lambda: BasicBlock(4, 4), (4, 5, 5)),
    "recurrent": (lambda: Recurrent(3), (4, 3)),
    "transformer": (lambda: Block(8, 2), (5, 8)),
    "attention": (lambda: SelfAttention(8, 2), (5, 8)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
}


class Recurrent(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = nn.LSTM(width, 4, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        return self.network(sequence)[0]


def module_and_probe(name: str) -> tuple[nn.Module, Tensor]:
    build, shape = MODULES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().double().eval(), torch.randn(4, *shape, dtype=torch.float64)


@pytest.mark.parametrize("name", MODULES)
def test_local_constants_are_the_singular_values_of_the_jacobians(name: str) -> None:
    module, probe = module_and_probe(name)
    local = local_lipschitz(module, probe, tolerance=1e-4, max_iterations=500)
    expected = jacobian_norms(module, probe)
    assert local.converged
    assert local.values == pytest.approx(expected, rel=1e-6)
    assert (local.values <= expected * (1 + 1e-12)).all()
    assert local.max == local.values.max()
    assert local.mean == pytest.approx(local.values.mean())


@pytest.mark.parametrize("name", ["dense", "convolution", "transformer"])
def test_local_constants_grow_from_below_whenever_the_iteration_stops(name: str) -> None:
    module, probe = module_and_probe(name)
    expected = jacobian_norms(module, probe)
    runs = [local_lipschitz(module, probe, tolerance=1e-14, max_iterations=k) for k in (1, 2, 4, 8, 16)]
    assert all((run.values <= expected * (1 + 1e-12)).all() for run in runs)
    assert all((later.values >= run.values * (1 - 1e-12)).all() for run, later in itertools.pairwise(runs))
    assert all(run.iterations <= k for run, k in zip(runs, (1, 2, 4, 8, 16), strict=True))
    assert not runs[0].converged


def test_the_residual_bounds_the_distance_to_a_singular_value() -> None:
    module, probe = module_and_probe("dense")
    squares = torch.linalg.svdvals(module.weight.detach()).square().numpy()
    for iterations in (1, 3, 10):
        local = local_lipschitz(module, probe, tolerance=1e-14, max_iterations=iterations)
        for value, residual in zip(local.values, local.residuals, strict=True):
            assert np.abs(squares - value**2).min() <= residual * value**2 * (1 + 1e-9) + 1e-12


def test_local_constants_do_not_depend_on_the_batches_beyond_the_tolerance() -> None:
    module, probe = module_and_probe("perceptron")
    one_batch = local_lipschitz(module, probe, tolerance=1e-7, max_iterations=1000)
    two_batches = local_lipschitz(module, probe, tolerance=1e-7, max_iterations=1000, batch_size=3)
    assert two_batches.values == pytest.approx(one_batch.values, rel=1e-9)


@pytest.mark.parametrize("function", [torch.zeros_like, lambda x: 0 * x, torch.round])
def test_a_locally_constant_map_has_lipschitz_constant_zero(function: Any) -> None:
    local = local_lipschitz(function, torch.randn(3, 4))
    assert local.converged
    assert not local.values.any()


def test_a_jacobian_that_is_not_finite_leaves_the_other_samples_alone() -> None:
    local = local_lipschitz(torch.sqrt, torch.tensor([[4.0, 9.0], [0.0, 1.0]]))
    assert local.values[0] == pytest.approx(0.25, rel=1e-3)
    assert not math.isfinite(local.values[1])
    assert not local.converged


@pytest.mark.parametrize(
    "mixing",
    [
        nn.BatchNorm1d(3, track_running_stats=False),
        lambda x: x.cumsum(0),
        lambda x: x.flip(0).cumsum(0).flip(0),
        lambda x: torch.cat([x[:1], x[1:] + 100 * x[:-1]]),
        lambda x: x + torch.tensor([0.0, 1.0, -1.0, 1.0, -1.0])[:, None] * x[0],
    ],
    ids=["statistics", "all previous", "all later", "the previous one", "the first, cancelling"],
)
def test_samples_that_influence_each_other_raise(mixing: Any) -> None:
    with pytest.raises(ValueError, match="depend on other samples of the batch"):
        local_lipschitz(mixing, torch.randn(5, 3))


def test_wrong_arguments_raise() -> None:
    with pytest.raises(ValueError, match=r"`inputs` must be floating point .* got torch.int64 of shape \(3,\)"):
        local_lipschitz(nn.Embedding(4, 2), torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="must be positive, got 0, 200 and 64"):
        local_lipschitz(nn.Linear(2, 2), torch.zeros(1, 2), tolerance=0)
    with pytest.raises(ValueError, match="one row for each of 3 samples, got tuple"):
        local_lipschitz(lambda x: (x, x), torch.zeros(3, 2))


class Stateful(nn.Module):
    """Changes everything that a forward pass can change."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)
        self.second = nn.Linear(4, 2)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        self.count += 1
        return self.second(self.dropout(self.norm(self.first(inputs)))) + 0 * torch.rand(())


def test_the_model_comes_back_as_it_was(generator: torch.Generator) -> None:
    model = Stateful()
    model.dropout.eval()
    batch = torch.randn(6, 4, generator=generator)
    model(batch).sum().backward()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    random_state, original = torch.get_rng_state(), batch.clone()
    local_lipschitz(model, batch)
    layer_lipschitz(model, batch, ["first", "norm"])
    layer_bounds(model, batch, ["first", "norm"])
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, kept) for p, kept in zip(model.parameters(), gradients, strict=True))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(batch, original)
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()


def test_pairwise_is_the_largest_quotient(generator: torch.Generator) -> None:
    points = torch.randn(20, 6, generator=generator)
    layer = nn.Linear(6, 3)
    before, after = distance_matrix(points).numpy(), distance_matrix(layer(points).detach()).numpy()
    quotients = [(after[i, j] / before[i, j], (i, j)) for i in range(20) for j in range(i + 1, 20)]
    pairwise = pairwise_lipschitz(before, after)
    assert (pairwise.value, pairwise.pair) == (pytest.approx(max(quotients)[0]), max(quotients)[1])
    assert pairwise.value <= float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) * (1 + 1e-5)


def test_pairwise_is_exact_for_a_pair_in_the_direction_of_the_stretch() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    stretched = points * torch.tensor([1.0, 5.0])
    pairwise = pairwise_lipschitz(distance_matrix(points), distance_matrix(stretched))
    assert pairwise.value == pytest.approx(5.0)
    assert pairwise.pair == (0, 2)


def test_pairs_that_coincide_before_and_after_do_not_count() -> None:
    before = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    assert pairwise_lipschitz(before, 2 * before).value == 2.0
    assert math.isnan(pairwise_lipschitz(np.zeros((3, 3)), np.zeros((3, 3))).value)
    assert pairwise_lipschitz(np.zeros((3, 3)), np.zeros((3, 3))).pair is None


def test_a_pair_that_coincides_only_before_is_infinite() -> None:
    before = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    after = np.array([[0.0, 0.5, 1.0], [0.5, 0.0, 1.0], [1.0, 1.0, 0.0]])
    pairwise = pairwise_lipschitz(before, after)
    assert (pairwise.value, pairwise.pair) == (math.inf, (0, 1))


def test_distances_below_the_resolution_do_not_count() -> None:
    """Neither 0 becoming 1e-7 nor 1e-7 becoming 1e-3 counts: 1e-7 is within the rounding of the distances."""
    torn = np.array([[0.0, 1e-7, 2.0], [1e-7, 0.0, 2.0], [2.0, 2.0, 0.0]])
    coincident = np.where(torn == 1e-7, 0.0, torn)
    assert pairwise_lipschitz(coincident, torn).value == 1.0
    assert pairwise_lipschitz(torn, np.where(torn == 1e-7, 1e-3, torn)).value == 1.0


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.full((2, 2), np.nan), -np.ones((2, 2)), np.zeros((1, 1))])
def test_pairwise_names_a_wrong_distance_matrix(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Argument `after` must"):
        pairwise_lipschitz(np.zeros((2, 2)), bad)
    with pytest.raises(ValueError, match="must have the same shape"):
        pairwise_lipschitz(np.zeros((2, 2)), np.zeros((3, 3)))


def test_steps_are_the_constants_of_the_layers_alone() -> None:
    model, probe = module_and_probe("perceptron")
    constants = layer_lipschitz(model, probe, ["0", "1"], tolerance=1e-7, max_iterations=1000, batch_size=3)
    assert list(constants.steps) == [(INPUT, "0"), ("0", "1"), ("1", OUTPUT), (INPUT, OUTPUT)]
    assert not constants.failures
    hidden = model[0](probe).detach()
    for step, piece, inputs in [
        ((INPUT, "0"), model[0], probe),
        (("0", "1"), model[1], hidden),
        (("1", OUTPUT), model[2], model[1](hidden).detach()),
        ((INPUT, OUTPUT), model, probe),
    ]:
        assert constants.steps[step].values == pytest.approx(jacobian_norms(piece, inputs), rel=1e-6)


def test_the_network_is_at_most_the_product_of_its_steps_at_every_sample() -> None:
    model, probe = module_and_probe("convolution")
    steps = layer_lipschitz(model, probe, ["0", "1", "2", "3"], tolerance=1e-4, max_iterations=500).steps
    network = steps.pop((INPUT, OUTPUT))
    assert (network.values <= np.prod([step.values for step in steps.values()], axis=0) * (1 + 1e-6)).all()


class Skip(nn.Module):
    """The third layer gets the input of the second through a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(3, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x)
        return self.c(self.b(hidden) + hidden)


def test_a_layer_bypassed_by_a_skip_connection_does_not_determine_the_next() -> None:
    constants = layer_lipschitz(Skip(), torch.randn(4, 3), ["a", "b", "c"])
    assert list(constants.steps) == [(INPUT, "a"), ("a", "b"), ("c", OUTPUT), (INPUT, OUTPUT)]
    assert constants.failures == {("b", "c"): "`c` does not depend on the samples through `b` alone"}
    assert list(layer_bounds(Skip(), torch.randn(4, 3), ["a", "c"]).steps) == [
        (INPUT, "a"),
        ("a", "c"),
        ("c", OUTPUT),
        (INPUT, OUTPUT),
    ]


class Hidden(Skip):
    """A skip connection without gradients."""

    def __init__(self, detached: str) -> None:
        super().__init__()
        self.detached = detached

    def forward(self, x: Tensor) -> Tensor:
        if self.detached == "skip":
            return self.c(self.b(self.a(x)) + 100 * x.detach())
        with torch.no_grad():
            hidden = self.b(self.a(x)) + 100 * x
            if self.detached == "all":
                return self.c(hidden)
        return self.c(hidden)


@pytest.mark.parametrize("detached", ["skip", "encoder", "all"])
def test_a_skip_connection_without_gradients_is_detected(detached: str) -> None:
    torch.manual_seed(0)
    model, probe = Hidden(detached), torch.randn(4, 3)
    bounds = layer_bounds(model, probe, ["a", "b", "c"])
    assert bounds.failures == {("b", "c"): "`c` does not depend on the samples through `b` alone"}
    matrix = model.c.weight.detach() @ (100 * torch.eye(3) + model.b.weight.detach() @ model.a.weight.detach())
    assert bounds.steps[INPUT, OUTPUT].value >= float(torch.linalg.matrix_norm(matrix, 2)) * (1 - 1e-6)


class Nonnegative(Skip):
    """Refuses negative inputs."""

    def forward(self, x: Tensor) -> Tensor:
        if (x < 0).any():
            raise IndexError("negative")
        return super().forward(x)


def test_a_model_that_refuses_other_samples_keeps_the_steps_that_need_none() -> None:
    constants = layer_lipschitz(Nonnegative(), 1 + torch.rand(4, 3), ["a", "b"])
    assert list(constants.steps) == [(INPUT, "a"), (INPUT, OUTPUT)]
    assert constants.failures.keys() == {("a", "b"), ("b", OUTPUT)}
    assert "with other samples the model raises IndexError('negative')" in constants.failures["a", "b"]


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2)


def test_a_forward_that_changes_its_input_is_measured_at_the_input() -> None:
    model, probe = nn.Sequential(Doubling(), nn.Tanh()), torch.randn(4, 3, dtype=torch.float64)
    kept = probe.clone()
    steps = layer_lipschitz(model, probe, ["0", "1"], tolerance=1e-9, max_iterations=1000).steps
    steepest = (1 - torch.tanh(2 * probe).square()).amax(dim=1).numpy()
    assert steps["0", "1"].values == pytest.approx(steepest, rel=1e-6)
    assert steps[INPUT, OUTPUT].values == pytest.approx(2 * steepest, rel=1e-6)
    assert torch.equal(probe, kept)


class Remembering(nn.Module):
    """Returns its result together with a memory that a later layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(3, 3)

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, memory = pair
        return self.weight(hidden) + memory, hidden


def test_a_bypass_inside_the_output_of_a_layer_is_detected() -> None:
    model = nn.Sequential(Remembering(), Remembering(), Remembering())
    constants = layer_lipschitz(
        model, torch.randn(4, 3), ["0", "1", "2"], forward_fn=lambda m, x: m((x, torch.zeros_like(x)))[0]
    )
    assert constants.failures.keys() == {("0", "1"), ("1", "2")}
    assert list(constants.steps) == [(INPUT, "0"), ("2", OUTPUT), (INPUT, OUTPUT)]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.block, self.head = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.head((self.block(self.embedding(ids)) * mask[..., None]).mean(dim=1))


def test_steps_start_after_the_embedding_if_the_input_is_text() -> None:
    batch = {"ids": torch.randint(9, (5, 3)), "mask": torch.ones(5, 3, dtype=torch.long), "labels": torch.zeros(5)}
    model = Words()
    constants = layer_lipschitz(model, batch, ["embedding", "block"], tolerance=1e-5)
    assert list(constants.steps) == [("embedding", "block"), ("block", OUTPUT), ("embedding", OUTPUT)]
    expected = float(torch.linalg.matrix_norm(model.block.weight.detach(), 2))
    assert constants.steps["embedding", "block"].max == pytest.approx(expected, rel=1e-4)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared, self.last, self.unused = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.shared(self.shared(x)))


def test_layers_that_run_twice_or_never_are_failures() -> None:
    constants = layer_lipschitz(Twice(), torch.randn(4, 3), ["shared", "last", "unused"])
    assert constants.failures[INPUT, "shared"] == "`shared` runs more than once"
    assert constants.failures["shared", "last"] == "`shared` runs more than once"
    assert constants.failures["unused", "unused"].startswith("did not run")
    assert list(constants.steps) == [("last", OUTPUT), (INPUT, OUTPUT)]


def test_the_forward_function_of_the_user_is_measured(generator: torch.Generator) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    batch = torch.randn(4, 3, generator=generator)
    once = layer_lipschitz(model, batch, ["0"], tolerance=1e-6)
    tripled = layer_lipschitz(model, batch, ["0"], tolerance=1e-6, forward_fn=lambda m, x: 3 * m(x))
    assert tripled.steps["0", OUTPUT].max == pytest.approx(3 * once.steps["0", OUTPUT].max, rel=1e-5)
    assert tripled.steps[INPUT, "0"].max == pytest.approx(once.steps[INPUT, "0"].max, rel=1e-5)


def test_a_model_without_floating_point_tensors_raises() -> None:
    class Argmax(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            return ids.sum(dim=1)

    model = nn.Sequential(Argmax(), nn.Identity())
    with pytest.raises(ValueError, match=r"must yield floating-point tensors at two or more .* got none"):
        layer_lipschitz(model, torch.randint(9, (5, 3)), ["0", "1"])
