"""Upper bounds against singular values of operators and Jacobians written out: lower <= truth <= upper."""

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers import SEModule
from timm.layers.pool2d_same import MaxPool2dSame
from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from lightning_topolip.lipschitz import (
    LipschitzBound,
    Operand,
    attention_bound,
    convolution,
    layer_bounds,
    layer_lipschitz,
    lipschitz_bound,
    local_lipschitz,
    operator_norm,
    self_attention_bound,
)
from lightning_topolip.models import ResNetClassifier, ViTClassifier

ROUNDING = 1 + 1e-9


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """With several threads, synchronisation takes longer than these small products."""
    torch.set_num_threads(1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().double().eval()


def jacobian_norm(function: Callable[[Tensor], Tensor], sample: Tensor) -> float:
    matrix = torch.autograd.functional.jacobian(lambda x: function(x[None].clone())[0], sample)
    return float(torch.linalg.svdvals(matrix.reshape(-1, sample.numel()))[0])


CONVOLUTIONS = {
    "plain": lambda: (nn.Conv2d(2, 3, 3), (2, 6, 5)),
    "padded": lambda: (nn.Conv2d(2, 3, 3, padding=1), (2, 6, 5)),
    "padded beyond its reach": lambda: (nn.Conv2d(2, 3, 3, padding=4), (2, 4, 4)),
    "uneven padding": lambda: (nn.Conv2d(2, 3, (3, 5), padding=(0, 2)), (2, 5, 7)),
    "same": lambda: (nn.Conv2d(2, 3, 5, padding="same"), (2, 5, 7)),
    "strided": lambda: (nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 7, 8)),
    "patches": lambda: (nn.Conv2d(3, 6, 4, stride=4), (3, 8, 8)),
    "stride beyond the kernel": lambda: (nn.Conv2d(2, 3, 2, stride=3), (2, 8, 8)),
    "uneven stride": lambda: (nn.Conv2d(2, 3, 3, stride=(1, 3), padding=1), (2, 6, 8)),
    "dilated": lambda: (nn.Conv2d(2, 3, 3, dilation=2, padding=2), (2, 7, 6)),
    "strided and dilated": lambda: (nn.Conv2d(2, 3, 3, stride=2, dilation=3, padding=2), (2, 9, 9)),
    "grouped": lambda: (nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 5, 5)),
    "by channel": lambda: (nn.Conv2d(4, 4, 3, groups=4, stride=2), (4, 7, 7)),
    "pointwise": lambda: (nn.Conv2d(4, 6, 1), (4, 5, 5)),
    "circular": lambda: (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 6)),
    "reflecting": lambda: (nn.Conv2d(2, 3, 3, padding=2, padding_mode="reflect"), (2, 5, 6)),
    "replicating": lambda: (nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"), (2, 5, 6)),
    "line": lambda: (nn.Conv1d(3, 2, 5, stride=2, padding=2), (3, 11)),
    "volume": lambda: (nn.Conv3d(2, 2, 3, stride=(1, 2, 1), padding=1), (2, 4, 5, 4)),
    "transposed": lambda: (nn.ConvTranspose2d(3, 2, 3, padding=1), (3, 5, 4)),
    "transposed and strided": lambda: (nn.ConvTranspose2d(4, 2, 3, 2, 1, 1, groups=2, dilation=2), (4, 4, 5)),
    "transposed line": lambda: (nn.ConvTranspose1d(3, 2, 4, stride=3), (3, 6)),
    "transposed volume": lambda: (nn.ConvTranspose3d(2, 2, 2, stride=2), (2, 3, 2, 3)),
}


def layer_and_truth(name: str) -> tuple[nn.Module, tuple[int, ...], float]:
    layer = seeded(lambda: CONVOLUTIONS[name]()[0])
    shape = CONVOLUTIONS[name]()[1]
    return layer, shape, jacobian_norm(layer, torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_small_convolutions_are_exact_for_zero_padding(name: str) -> None:
    layer, shape, truth = layer_and_truth(name)
    bound = operator_norm(layer, shape)
    assert bound >= truth / ROUNDING
    if getattr(layer, "padding_mode", "zeros") == "zeros":
        assert bound == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("grid", [64, 5])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_symbol_never_falls_below_the_norm(name: str, grid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with few frequencies, where the margin for the frequencies between them is needed."""
    monkeypatch.setattr(convolution, "_DENSE_INPUTS", 0)
    monkeypatch.setattr(convolution, "_FINEST_GRID", grid)
    layer, shape, truth = layer_and_truth(name)
    bound = operator_norm(layer, shape)
    assert truth / ROUNDING <= bound <= (2.2 if layer.padding_mode == "circular" else 1.8) * truth


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"dilation": 2}, {"groups": 2}], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_a_coarse_grid_of_frequencies_never_falls_below_the_norm(
    options: dict[str, int], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = seeded(lambda: nn.Conv2d(2, 2, 3, padding=1, **options), seed)
    truth = operator_norm(layer, (2, 16, 16))
    monkeypatch.setattr(convolution, "_DENSE_INPUTS", 0)
    fine = operator_norm(layer, (2, 16, 16))
    monkeypatch.setattr(convolution, "_FINEST_GRID", 3)
    monkeypatch.setattr(convolution, "_GRID_BY_REACH", 3)
    coarse = operator_norm(layer, (2, 16, 16))
    assert truth / ROUNDING <= fine
    assert truth / ROUNDING <= coarse
    assert coarse != fine


def test_the_margin_between_frequencies_is_necessary_and_sufficient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The symbol of (1, -1) peaks at pi, halfway between two of five frequencies."""
    monkeypatch.setattr(convolution, "_DENSE_INPUTS", 0)
    monkeypatch.setattr(convolution, "_FINEST_GRID", 5)
    monkeypatch.setattr(convolution, "_GRID_BY_REACH", 5)
    difference = torch.tensor([[[1.0, -1.0]]])
    bound = convolution.convolution_norm(difference, [1000])
    highest_sampled = abs(1 - complex(math.cos(0.8 * math.pi), math.sin(0.8 * math.pi)))
    assert highest_sampled < 1.999 < bound < 2.13


@pytest.mark.parametrize(("channels", "size", "stride"), [(16, 20, 1), (8, 33, 2), (4, 80, 1)])
def test_larger_convolutions_are_bounded_within_a_few_percent(channels: int, size: int, stride: int) -> None:
    layer = seeded(lambda: nn.Conv2d(channels, channels, 3, stride=stride, padding=1))
    probe = normal(1, channels, size, size)
    lower = local_lipschitz(layer, probe, tolerance=1e-2, max_iterations=500).max
    assert lower <= operator_norm(layer, probe.shape[1:]) <= 1.03 * lower


def test_a_dense_layer_is_exact_on_any_positions() -> None:
    layer = seeded(lambda: nn.Linear(5, 9))
    truth = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
    assert operator_norm(layer, (5,)) == pytest.approx(truth, rel=1e-12)
    assert operator_norm(layer, (3, 4, 5)) == pytest.approx(truth, rel=1e-12)


def test_operator_norm_names_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="must be a dense or convolution layer, got GELU; use `lipschitz_bound`"):
        operator_norm(nn.GELU(), (3,))
    with pytest.raises(ValueError, match=r"`input_shape` must be the shape of one sample.* got \(4,\); Linear raised"):
        operator_norm(nn.Linear(3, 2), (4,))


ACTIVATIONS = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "leaky": nn.LeakyReLU(0.3),
    "steep leaky": nn.LeakyReLU(1.7),
    "prelu": nn.PReLU(init=-1.5),
    "elu": nn.ELU(1.4),
    "selu": nn.SELU(),
    "celu": nn.CELU(2.0),
    "gelu": nn.GELU(),
    "gelu tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(beta=3.0),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "log sigmoid": nn.LogSigmoid(),
    "softsign": nn.Softsign(),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardtanh": nn.Hardtanh(),
    "identity": nn.Identity(),
    "dropout": nn.Dropout(0.5),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_constants_of_activations_are_their_steepest_slopes(name: str) -> None:
    module = ACTIVATIONS[name].double().eval()
    points = torch.linspace(-20, 20, 400_001, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(module(points.clone()).sum(), points)
    steepest = float(slopes.abs().max())
    bound = lipschitz_bound(module, torch.zeros(1, 3, dtype=torch.float64))
    assert bound.everywhere
    assert steepest * (1 - 1e-12) <= bound.value <= steepest * (1 + 1e-4)


def test_softmax_stretches_by_at_most_one_half() -> None:
    worst = max(jacobian_norm(nn.Softmax(-1), 5 * normal(4, seed=seed)) for seed in range(50))
    even = jacobian_norm(nn.Softmax(-1), torch.tensor([0.0, 0.0, -50.0], dtype=torch.float64))
    assert worst < lipschitz_bound(nn.Softmax(-1), normal(1, 4)).value == pytest.approx(even)


POOLINGS = {
    "max": (nn.MaxPool2d(2), True),
    "overlapping max": (nn.MaxPool2d(3, 2, 1), False),
    "dilated max": (nn.MaxPool2d(2, 1, dilation=2), False),
    "adaptive max": (nn.AdaptiveMaxPool2d(4), False),
    "mean": (nn.AvgPool2d(2), True),
    "overlapping mean": (nn.AvgPool2d(3, 1), False),
    "mean without the border": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), False),
    "adaptive mean": (nn.AdaptiveAvgPool2d(3), True),
    "uneven adaptive mean": (nn.AdaptiveAvgPool2d(4), False),
    "global mean": (nn.AdaptiveAvgPool2d(1), True),
    "nearest": (nn.Upsample(scale_factor=2), True),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), False),
    "zeros around": (nn.ZeroPad2d(1), True),
    "reflection": (nn.ReflectionPad2d(2), True),
    "flat": (nn.Flatten(), True),
    "shuffled": (nn.PixelUnshuffle(2), True),
}


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_and_padding(name: str) -> None:
    module, exact = POOLINGS[name]
    truth = max(jacobian_norm(module, normal(2, 6, 6, seed=seed)) for seed in range(3))
    bound = lipschitz_bound(module, normal(1, 2, 6, 6)).value
    assert truth / ROUNDING <= bound <= 3 * truth
    assert not exact or bound == pytest.approx(truth)


@pytest.mark.parametrize("pooling", [nn.MaxPool2d(2, 1), nn.MaxPool2d(2, 2, dilation=2), nn.MaxPool2d(3, 2)])
def test_an_overlapping_maximum_reaches_its_bound(pooling: nn.Module) -> None:
    """One entry is the maximum of all four windows that contain it."""
    peak = torch.zeros(1, 7, 7, dtype=torch.float64)
    peak[0, 2, 2] = 1.0
    assert lipschitz_bound(pooling, peak[None]).value == pytest.approx(jacobian_norm(pooling, peak)) == 2.0


def with_weights(module: nn.Module) -> nn.Module:
    for seed, parameter in enumerate(module.parameters()):
        parameter.data.copy_(normal(*parameter.shape, seed=seed))
    return module.double().eval()


NORMALISATIONS = {
    "layer": (lambda: nn.LayerNorm([3, 4]), lambda x: x.flatten(1).var(1, correction=0)),
    "last axis": (lambda: nn.LayerNorm(4), lambda x: x.var(-1, correction=0).amin(1)),
    "group": (lambda: nn.GroupNorm(1, 3), lambda x: x.flatten(1).var(1, correction=0)),
    "instance": (lambda: nn.InstanceNorm1d(3, affine=True), lambda x: x.var(-1, correction=0).amin(1)),
    "rms": (lambda: nn.RMSNorm([3, 4]), lambda x: x.flatten(1).square().mean(1)),
}


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_normalisations_are_bounded_by_the_smallest_deviation_on_the_probe(name: str) -> None:
    build, spread = NORMALISATIONS[name]
    module = with_weights(build())
    probe = normal(8, 3, 4)
    truths = [jacobian_norm(module, sample) for sample in probe]
    bound = lipschitz_bound(module, probe)
    assert not bound.everywhere
    assert max(truths) <= bound.value <= 2 * max(truths)
    least = spread(probe).min()
    in_region = [sample for sample in normal(200, 3, 4, seed=1) if spread(sample[None])[0] >= least]
    assert len(in_region) > 20
    assert all(jacobian_norm(module, sample) <= bound.value for sample in in_region)


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_everywhere_a_normalisation_is_bounded_at_a_constant_sample(name: str) -> None:
    module = with_weights(NORMALISATIONS[name][0]())
    bound = lipschitz_bound(module, normal(2, 3, 4), everywhere=True)
    flat = jacobian_norm(module, torch.zeros(3, 4, dtype=torch.float64))
    assert bound.everywhere
    assert flat <= bound.value * ROUNDING
    assert bound.value <= 1.6 * flat


@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalisation_in_evaluation_is_exact(affine: bool) -> None:
    module = nn.BatchNorm2d(3, affine=affine)
    module(5 * torch.randn(6, 3, 4, 4))
    module = with_weights(module) if affine else module.double().eval()
    bound = lipschitz_bound(module, normal(2, 3, 4, 4))
    assert bound == LipschitzBound(pytest.approx(jacobian_norm(module, normal(3, 4, 4))), everywhere=True)


def attention(
    query: Tensor, key: Tensor, value: Tensor, output: Tensor, bias: Tensor, heads: int
) -> Callable[[Tensor], Tensor]:
    """Multi-head self-attention, written out."""

    def function(tokens: Tensor) -> Tensor:
        sides = [tokens @ query.T + bias, tokens @ key.T, tokens @ value.T]
        q, k, v = (side.unflatten(-1, (heads, -1)).transpose(-2, -3) for side in sides)
        weights = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), dim=-1)
        return (weights @ v).transpose(-2, -3).flatten(-2) @ output.T

    return function


def in_ball(tokens: Tensor, radius: float) -> Tensor:
    return radius * tokens / tokens.norm(dim=-1, keepdim=True).clamp_min(1.0)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("radius", [0.1, 1.0, 4.0])
def test_self_attention_never_exceeds_its_bound_on_the_ball(heads: int, radius: float) -> None:
    for seed in range(30):
        tokens = in_ball(2 * normal(1 + seed % 6, 4, seed=seed), radius)
        query, key, value = normal(3, 4, 4, seed=seed + 100)
        output, bias = normal(5, 4, seed=seed + 200), normal(4, seed=seed + 300)
        bound = self_attention_bound(
            query, key, value, output, tokens=len(tokens), radius=radius, heads=heads, query_offset=bias
        )
        truth = jacobian_norm(attention(query, key, value, output, bias, heads), tokens)
        assert truth <= bound


def test_the_bound_of_self_attention_is_nearly_reached_and_below_the_published_bound() -> None:
    """Castin, Ablin, Peyre, arXiv 2312.14820: sqrt(3) |V| sqrt(|A|^2 R^4 (4 n + 1) + n)."""
    nearest = 0.0
    for seed in range(150):
        n, radius = 1 + seed % 6, 0.1 + 0.02 * seed
        tokens = in_ball(9 * normal(n, 2, seed=seed), radius)
        query, key, value = normal(3, 2, 2, seed=seed + 500)
        bound = self_attention_bound(query, key, value, tokens=n, radius=radius)
        none, unit = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        truth = jacobian_norm(attention(query, key, value, unit, none, heads=1), tokens)
        a, v = (float(torch.linalg.matrix_norm(m, 2)) for m in (key.T @ query / math.sqrt(2), value))
        assert truth <= bound <= math.sqrt(3) * v * math.sqrt(a**2 * radius**4 * (4 * n + 1) + n)
        nearest = max(nearest, truth / bound)
    assert nearest > 0.7


@pytest.mark.parametrize("causal", [False, True])
def test_attention_of_given_queries_keys_and_values_never_exceeds_its_bound(causal: bool) -> None:
    for seed in range(30):
        queries, keys, values = 3 * normal(3, 5, 4, seed=seed)
        centre = values.mean(dim=0)

        def packed_attention(packed: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(*packed.unbind(1), is_causal=causal, scale=0.3)

        bound = attention_bound(
            Operand(float(queries.norm(dim=1).max()), 1.0),
            Operand(float(keys.norm(dim=1).max()), 1.0),
            Operand(float((values - centre).norm(dim=1).max()), 1.0),
            queries=5,
            scale=0.3,
        )
        assert jacobian_norm(packed_attention, torch.stack([queries, keys, values])) <= bound


PLUS_MINUS = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)


def test_the_term_of_the_values_is_reached_when_all_queries_attend_to_one_key() -> None:
    queries, keys = 40 * torch.ones(7, 2, dtype=torch.float64), PLUS_MINUS
    truth = jacobian_norm(lambda v: F.scaled_dot_product_attention(queries, keys, v[0])[None], normal(2, 2))
    bound = attention_bound(Operand(60.0, 0.0), Operand(1.0, 0.0), Operand(9.0, 1.0), queries=7, scale=0.5**0.5)
    assert truth == pytest.approx(bound) == pytest.approx(math.sqrt(7))


def test_the_term_of_the_queries_is_reached_between_two_opposite_keys() -> None:
    keys, values = 3 * PLUS_MINUS, 5 * PLUS_MINUS + 100
    undecided = torch.zeros(4, 2, dtype=torch.float64)

    def attention_of_queries(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, keys.expand(len(x), 2, 2), values.expand(len(x), 2, 2), scale=0.3)

    truth = jacobian_norm(attention_of_queries, undecided)
    bound = attention_bound(Operand(0.0, 1.0), Operand(3.0, 0.0), Operand(5.0, 0.0), queries=4, scale=0.3)
    assert truth == pytest.approx(bound) == pytest.approx(0.3 * 3 * 5)
    assert lipschitz_bound(attention_of_queries, undecided[None]).value == pytest.approx(truth)


def test_the_term_of_the_keys_is_reached_up_to_a_factor_of_the_root_of_two() -> None:
    queries, values = 2 * PLUS_MINUS[:1].expand(6, 2), 5 * PLUS_MINUS
    equal = torch.zeros(2, 2, dtype=torch.float64)
    truth = jacobian_norm(lambda k: F.scaled_dot_product_attention(queries, k[0], values, scale=0.3)[None], equal)
    bound = attention_bound(Operand(2.0, 0.0), Operand(0.0, 1.0), Operand(5.0, 0.0), queries=6, scale=0.3)
    assert truth * math.sqrt(2) == pytest.approx(bound) == pytest.approx(math.sqrt(6) * 0.3 * 5 * 2)


def test_heads_that_attend_to_one_token_stretch_it_together() -> None:
    none, copies = torch.zeros(4, 2), torch.eye(2).repeat(2, 1)
    assert self_attention_bound(none, none, copies, heads=2, tokens=1, radius=1.0) == pytest.approx(math.sqrt(2))
    mean = torch.cat([torch.eye(2), torch.eye(2)], dim=1)
    bound = self_attention_bound(none, none, copies, mean, heads=2, tokens=1, radius=1.0)
    assert bound == pytest.approx(2.0)


def test_the_bias_of_the_queries_counts() -> None:
    """Tokens 1 and -1 as keys and values, with the bias as the only query: steeper than without it."""
    layer = nn.MultiheadAttention(1, 1, batch_first=True, dtype=torch.float64).eval()
    layer.in_proj_weight.data.copy_(torch.tensor([[0.0], [1.0], [1.0]]))
    layer.in_proj_bias.data.copy_(torch.tensor([1.0, 0.0, 0.0]))
    layer.out_proj.weight.data.fill_(1.0)
    layer.out_proj.bias.data.fill_(0.0)
    tokens = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)

    def attended(x: Tensor) -> Tensor:
        return layer(x, x, x, need_weights=False)[0]

    bound = lipschitz_bound(attended, tokens[None]).value
    assert math.sqrt(2) + 0.1 < jacobian_norm(attended, tokens) <= bound == pytest.approx(2 * math.sqrt(2))


def test_all_heads_are_bounded_together() -> None:
    """One head depends mostly on its queries, the other on its keys."""
    query, key, value = normal(3, 2, 3, 2)
    query[0], key[1] = 0.1 * query[0], 0.1 * key[1]
    packed = torch.stack([query, key, value])

    def packed_attention(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*x.unbind(1))

    assert jacobian_norm(packed_attention, packed) <= lipschitz_bound(packed_attention, packed[None]).value


def test_more_heads_than_rows_raise() -> None:
    matrix = torch.eye(4)
    with pytest.raises(ValueError, match="`heads` must divide the rows of `query`, `key` and `value`, got 3"):
        self_attention_bound(matrix, matrix, matrix, tokens=2, radius=1.0, heads=3)


class SelfAttention(nn.Module):
    def __init__(self, need_weights: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.need_weights = need_weights

    def forward(self, tokens: Tensor) -> Tensor:
        return self.attention(tokens, tokens, tokens, need_weights=self.need_weights)[0]


class GatedAttention(nn.Module):
    """Gated attention written out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.gate = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        scores = self.query(tokens) @ self.key(tokens).transpose(-1, -2) / math.sqrt(8)
        return torch.sigmoid(self.gate(tokens)) * (scores.softmax(dim=-1) @ self.value(tokens))


def shortcut() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 8, 1, 2, bias=False), nn.BatchNorm2d(8))


BLOCKS = {
    "transformer": (lambda: Block(8, 2, qkv_bias=True), (5, 8)),
    "transformer with scales and normalised queries": (lambda: Block(8, 2, init_values=0.3, qk_norm=True), (5, 8)),
    "attention": (SelfAttention, (5, 8)),
    "attention that returns its weights": (lambda: SelfAttention(True), (5, 8)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
    "encoder, normalised first": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu"),
        (5, 8),
    ),
    "written out": (GatedAttention, (5, 8)),
    "basic": (lambda: BasicBlock(4, 4), (4, 5, 5)),
    "basic, strided": (lambda: BasicBlock(4, 8, stride=2, downsample=shortcut()), (4, 5, 5)),
    "bottleneck": (lambda: Bottleneck(8, 2), (8, 4, 4)),
    "squeeze and excitation": (lambda: SEModule(8, rd_channels=4), (8, 3, 3)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_lie_between_the_lower_and_the_upper_bound(name: str) -> None:
    build, shape = BLOCKS[name]
    block = seeded(build)
    probe = normal(3, *shape)
    truths = [jacobian_norm(block, sample) for sample in probe]
    lower = local_lipschitz(block, probe)
    upper = lipschitz_bound(block, probe)
    assert all(value <= truth * ROUNDING for value, truth in zip(lower.values, truths, strict=True))
    assert lower.max == pytest.approx(max(truths), rel=1e-2)
    assert max(truths) <= upper.value < math.inf


@pytest.mark.parametrize("name", ["basic", "basic, strided", "bottleneck"])
def test_convolution_blocks_have_a_bound_everywhere(name: str) -> None:
    build, shape = BLOCKS[name]
    block = seeded(build)
    bound = lipschitz_bound(block, normal(1, *shape))
    assert bound.everywhere
    assert all(jacobian_norm(block, 30 * normal(*shape, seed=seed)) <= bound.value for seed in range(5))


def test_dot_product_attention_has_no_bound_everywhere() -> None:
    """Its slope grows with the tokens, so any bound on a ball is exceeded outside it."""
    block = seeded(SelfAttention)
    probe = 1e-3 * normal(2, 5, 8)
    near = lipschitz_bound(block, probe)
    assert lipschitz_bound(block, probe, everywhere=True).value == math.inf
    assert max(jacobian_norm(block, scale * normal(5, 8, seed=2)) for scale in (5, 20, 80)) > near.value


NETWORKS = {
    "transformer, class token": lambda: ViTClassifier("micro", 3, 8, width=8, heads=2, depth=2, pool="token"),
    "transformer, mean": lambda: ViTClassifier("micro", 3, 8, width=8, heads=2, depth=2),
    "residual": lambda: ResNetClassifier("micro", 3, 8, width=4),
    "residual, bottleneck, large stem": lambda: ResNetClassifier("base", 3, 128, width=2, blocks=(1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_of_the_bundled_networks_is_bounded_from_both_sides(name: str) -> None:
    model = seeded(NETWORKS[name])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    size = 128 if "large" in name else 8
    probe = 0.5 + 0.2 * normal(2, 3, size, size)
    layers = "network.blocks.*" if name.startswith("transformer") else ["network.layer?.*"]
    lower = layer_lipschitz(model, probe, layers, max_iterations=30)
    upper = layer_bounds(model, probe, layers)
    assert not lower.failures
    assert not upper.failures
    assert lower.steps.keys() == upper.steps.keys()
    assert len(lower.steps) >= 4
    for step, constant in lower.steps.items():
        assert 0 < constant.max <= upper.steps[step].value * (1 + 1e-12) < math.inf, step


def scaled_identity(factor: float) -> nn.Linear:
    layer = nn.Linear(4, 4, dtype=torch.float64)
    layer.weight.data.copy_(factor * torch.eye(4))
    return layer


ALGEBRA: dict[str, tuple[Callable[[Any, Any, Tensor], Tensor], float]] = {
    "composition": (lambda f, g, x: g(f(x)), 6.0),
    "residual": (lambda f, g, x: x + f(x), 3.0),
    "residual in place": (lambda f, g, x: f(x).add_(x), 3.0),
    "difference": (lambda f, g, x: 1.0 - f(x) - g(x), 5.0),
    "scaled": (lambda f, g, x: f(x) * torch.tensor([0.5, -3.0, 0.0, 1.0]) / 2, 3.0),
    "concatenation": (lambda f, g, x: torch.cat([f(x), g(x)], dim=1), math.sqrt(13)),
    "stack": (lambda f, g, x: torch.stack([x, x, x, x], dim=1), 2.0),
    "repeated": (lambda f, g, x: x[:, None].expand(-1, 9, -1) * 1.0, 3.0),
    "broadcast": (lambda f, g, x: x[:, None] + torch.ones(1, 9, 4), 3.0),
    "mean": (lambda f, g, x: f(x).mean(dim=1), 1.0),
    "padded by a constant": (lambda f, g, x: F.pad(x, (1, 2), value=7.0), 1.0),
    "sum": (lambda f, g, x: x.sum(dim=1, keepdim=True), 2.0),
    "selected": (lambda f, g, x: f(x)[:, 1:3].reshape(-1, 2).T.mT, 2.0),
    "selected twice": (lambda f, g, x: x[:, torch.tensor([0, 0, 0, 0, 1])], 2.0),
    "matrix": (lambda f, g, x: x @ (5.0 * torch.eye(4, dtype=torch.float64)), 5.0),
    "constant": (lambda f, g, x: f(torch.zeros_like(x)), 0.0),
    "branch without the input": (lambda f, g, x: x + f(torch.ones_like(x)), 1.0),
}


@pytest.mark.parametrize("name", ALGEBRA)
def test_the_rules_of_composition(name: str) -> None:
    combine, expected = ALGEBRA[name]
    f, g = scaled_identity(2.0), scaled_identity(3.0)
    bound = lipschitz_bound(lambda x: combine(f, g, x), normal(3, 4))
    assert bound == LipschitzBound(pytest.approx(expected), everywhere=True)


def test_the_bound_of_a_product_of_varying_factors_holds_for_smaller_factors() -> None:
    probe = normal(6, 4)
    bound = lipschitz_bound(lambda x: x * x, probe)
    assert bound == LipschitzBound(pytest.approx(2 * float(probe.abs().max())), everywhere=False)
    assert max(jacobian_norm(lambda x: x * x, sample) for sample in probe) == pytest.approx(bound.value)


def sevenfold(x: Tensor) -> Tensor:
    return 7.0 * x


def scripted(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch deprecate it
        return torch.jit.script(function)


SCRIPTED = scripted(sevenfold)


def nested(x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nested tensors are a prototype
        return torch.nested.to_padded_tensor(torch.nested.nested_tensor([*(7 * x)]), 0.0)


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "no rule": (lambda x: x.sqrt(), "`sqrt` as it is used here: it has no rule"),
    "divisor": (lambda x: 1 / x, "has no rule|divisor depends on the input"),
    "value in Python": (lambda x: x * x.max().item(), "`max` as it is used here"),
    "comparison": (lambda x: x * (x > 0), "`gt` as it is used here"),
    "rounded": (lambda x: x.to(torch.int32).to(torch.float64), r"its result is torch\.int32"),
    "alias": (lambda x: _changed_through_a_view(x * 1.0), "changed in place through another view"),
    "foreign memory": (lambda x: torch.zeros(x.shape, dtype=x.dtype).add_(x), "did not depend on the input before"),
    "varying weight": (lambda x: F.linear(x, x), "an operand other than the first depends on the input"),
    "dropout in training": (lambda x: F.dropout(x, 0.5), "random numbers"),
    "batch statistics": (nn.BatchNorm1d(4, track_running_stats=False), "mixes the samples"),
    "bicubic": (lambda x: F.interpolate(x[:, None, None], scale_factor=2, mode="bicubic"), "negative coefficients"),
    "cross attention": (lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1), "dropout"),
    "one key for several heads": (
        lambda x: F.scaled_dot_product_attention(x.view(3, 2, 1, 2), x.view(3, 1, 2, 2), x.view(3, 1, 2, 2)),
        "used for several heads",
    ),
    "attention in training": (
        lambda x: nn.MultiheadAttention(4, 1, dropout=0.9, dtype=x.dtype)(x, x, x)[0],
        "random numbers in training mode",
    ),
    "vmap": (torch.vmap(sevenfold), "an operand depends on the input through code"),
    "vmap in a sum": (lambda x: x + torch.vmap(sevenfold)(x), "TorchScript or vmap"),
    "TorchScript": (SCRIPTED, "an operand depends on the input through code"),
    "TorchScript in a sum": (lambda x: x + SCRIPTED(x), "`add` as it is used here: an operand depends on the input"),
    "TorchScript without gradients": (torch.no_grad()(SCRIPTED), "TorchScript or vmap"),
    "TorchScript of a detached input": (lambda x: SCRIPTED(x.detach()), "TorchScript or vmap"),
    "TorchScript in inference mode": (torch.inference_mode()(SCRIPTED), "TorchScript or vmap"),
    "vmap without gradients": (torch.no_grad()(torch.vmap(sevenfold)), "TorchScript or vmap"),
    "inference mode": (torch.inference_mode()(sevenfold), "it runs in inference mode"),
    "nested": (nested, "a nested tensor, which does not reveal"),
    "other bits": (lambda x: x.view(torch.float32), "it reinterprets the bits as another type"),
    "division by zero": (lambda x: x / 0, "division by zero"),
    "mask by position": (
        lambda x: F.multi_head_attention_forward(
            *(x, x, x, 4, 1, normal(12, 4), None, None, None, False, 0.0, normal(4, 4), None, False),
            *(None, False, x @ x.T),
        )[0],
        "a mask that depends on the input",
    ),
    "output argument": (lambda x: torch.mul(x, 7, out=torch.empty_like(x)), "unexpected keyword argument 'out'"),
    "weight that is a vector": (lambda x: F.linear(x, torch.ones(4, dtype=x.dtype)), "`linear` as it is used here"),
}


BROADCAST = {
    "where": lambda x: torch.where(torch.ones(1, 9, 4, dtype=torch.bool), x[:, None], 0.0),
    "where as a method": lambda x: (7 * x).where(torch.tensor([True, False, True, True]), 0.0),
    "where by keyword": lambda x: torch.where(torch.ones(1, 9, 4, dtype=torch.bool), input=x[:, None], other=-1.0),
    "all by keyword": lambda x: torch.where(condition=torch.ones(9, 4, dtype=torch.bool), input=x[:, None], other=-1.0),
    "masked": lambda x: x[:, None].masked_fill(torch.zeros(1, 9, 4, dtype=torch.bool), 0.0),
    "clamped": lambda x: x[:, None].clamp(min=torch.full((1, 9, 4), -99.0, dtype=x.dtype)),
    "mask": lambda x: x * torch.tensor([True, False, True, True]),
    "reversed difference": lambda x: torch.rsub(x, 1.0, alpha=5),
    "named input": lambda x: F.relu(input=torch.softmax(input=x, dim=-1)),
    "named factors": lambda x: torch.mul(input=x, other=x),
}


@pytest.mark.parametrize("name", BROADCAST)
def test_every_call_signature_is_bounded(name: str) -> None:
    probe = normal(3, 4)
    truth = max(jacobian_norm(BROADCAST[name], sample) for sample in probe)
    assert truth / ROUNDING <= lipschitz_bound(BROADCAST[name], probe).value <= 1.5 * truth


def broken(layer: nn.Module) -> nn.Module:
    next(layer.parameters()).data.view(-1)[0] = math.nan
    return layer


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (broken(nn.Conv2d(16, 16, 3, padding=1)), (16, 20, 20)),
        (broken(nn.Conv2d(2, 2, 3, padding=1)), (2, 4, 4)),
        (broken(nn.PReLU()), (3,)),
        (broken(nn.Linear(3, 2)), (3,)),
        (broken(nn.LayerNorm(4)), (4,)),
        (nn.ELU(math.nan), (3,)),
        (nn.LeakyReLU(math.nan), (3,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_nan_weight_gives_a_nan_bound(layer: nn.Module, shape: tuple[int, ...]) -> None:
    assert math.isnan(lipschitz_bound(layer, torch.rand(2, *shape)).value)


def test_a_nan_weight_after_an_infinite_gain_gives_a_nan_bound() -> None:
    assert math.isnan(lipschitz_bound(broken(nn.LayerNorm(4, eps=0.0)), torch.rand(2, 4), everywhere=True).value)


def test_nan_activations_give_a_nan_bound() -> None:
    heads = normal(2, 3, 5, 4)
    heads[0, 1] = math.nan
    assert math.isnan(lipschitz_bound(lambda x: F.scaled_dot_product_attention(x, x, x), heads).value)
    assert math.isnan(lipschitz_bound(nn.LayerNorm(4).double(), heads).value)


class Gated(nn.Module):
    """Attention multiplied by a gate that is initially closed."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.gate = nn.MultiheadAttention(4, 1, batch_first=True), nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate * self.attention(x, x, x, need_weights=False)[0]


def test_a_zero_weight_gives_the_constant_zero_even_after_an_infinite_bound() -> None:
    assert lipschitz_bound(seeded(Gated), normal(2, 5, 4), everywhere=True) == LipschitzBound(1.0, True)
    closed = seeded(lambda: nn.MultiheadAttention(4, 1, batch_first=True))
    closed.in_proj_weight.data.zero_()
    bound = lipschitz_bound(lambda x: closed(x, x, x, need_weights=False)[0], normal(2, 5, 4), everywhere=True)
    assert bound == LipschitzBound(0.0, True)
    chain = nn.Sequential(nn.LayerNorm(4, eps=0.0), nn.Linear(4, 2))
    chain[1].weight.data.zero_()
    network = layer_bounds(chain, torch.randn(3, 4), ["0", "1"], everywhere=True).steps["<input>", "<output>"]
    assert network.value == 0.0
    chain[0].weight.data.zero_()
    assert lipschitz_bound(chain[0], torch.randn(3, 4), everywhere=True) == LipschitzBound(0.0, True)
    muted = seeded(lambda: nn.MultiheadAttention(4, 1, batch_first=True))
    muted.out_proj.weight.data.zero_()
    bound = lipschitz_bound(lambda x: x + muted(x, x, x, need_weights=False)[0], normal(2, 5, 4), everywhere=True)
    assert bound == LipschitzBound(1.0, True)


class Clipping(nn.Linear):
    """Clips its weights in its forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.1, 0.1)
            self.weight[0] = 0.0
        return super().forward(x)


def test_a_forward_pass_may_write_to_its_weights() -> None:
    layer = seeded(lambda: Clipping(4, 3))
    clipped = layer.weight.detach().clamp(-0.1, 0.1)
    clipped[0] = 0.0
    bound = lipschitz_bound(layer, normal(2, 4))
    assert bound.value == pytest.approx(float(torch.linalg.matrix_norm(clipped, 2)))


def test_padding_with_minus_infinity_is_a_copy() -> None:
    pool = seeded(lambda: MaxPool2dSame(3, 2))
    probe = normal(2, 2, 7, 7)
    truth = max(jacobian_norm(pool, sample) for sample in probe)
    assert truth / ROUNDING <= lipschitz_bound(pool, probe).value <= 2.0


def test_no_gradient_or_graph_remains() -> None:
    model, probe = seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.GELU())), normal(3, 4)
    lipschitz_bound(model, probe)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert not probe.requires_grad


def _changed_through_a_view(x: Tensor) -> Tensor:
    x.view(-1).mul_(100.0)
    return x + 1.0


@pytest.mark.parametrize("name", REFUSED)
def test_a_function_that_cannot_be_bounded_is_named(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(NotImplementedError, match=message):
        lipschitz_bound(function, normal(3, 4))


def test_a_step_that_cannot_be_bounded_leaves_the_others() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.abs() + 1).sqrt()

    model = nn.Sequential(nn.Linear(4, 4), Root(), nn.Linear(4, 2))
    bounds = layer_bounds(model, torch.randn(3, 4), ["0", "1", "2"])
    assert list(bounds.steps) == [("<input>", "0"), ("1", "2"), ("2", "<output>")]
    assert "`sqrt`" in bounds.failures["0", "1"]
    assert "`sqrt`" in bounds.failures["<input>", "<output>"]


def test_the_bound_of_the_network_is_that_of_one_forward_pass() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 2)))
    probe = normal(5, 4)
    network = layer_bounds(model, probe, ["0", "1", "2", "3"]).steps["<input>", "<output>"]
    assert network == LipschitzBound(pytest.approx(lipschitz_bound(model, probe).value), everywhere=False)


def test_inputs_that_are_not_floating_point_raise() -> None:
    with pytest.raises(ValueError, match=r"`inputs` must be floating point, got torch\.int64"):
        lipschitz_bound(nn.Embedding(3, 2), torch.tensor([1]))
    with pytest.raises(ValueError, match="`function` must return a floating-point tensor, got list"):
        lipschitz_bound(lambda x: [1], torch.zeros(1))


def test_combined_options_of_a_convolution_never_fall_below_the_norm() -> None:
    """Every combination of kernel, stride, padding, dilation and groups, bounded by the symbol."""
    for kernel, stride, padding, dilation, groups in itertools.product((1, 2, 3), (1, 2, 3), (0, 2), (1, 2), (1, 2)):
        layer = seeded(lambda c=(kernel, stride, padding, dilation, groups): nn.Conv1d(2, 4, *c))
        truth = jacobian_norm(layer, torch.zeros(2, 9, dtype=torch.float64))
        blocks = [math.ceil((9 + 2 * padding) / stride)]
        bound = convolution._symbol_norm(layer.weight.detach(), blocks, [stride], [dilation], groups)
        assert truth / ROUNDING <= bound
        assert operator_norm(layer, (2, 9)) == pytest.approx(truth, rel=1e-9)
