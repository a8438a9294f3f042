"""The controlled pair: equal in everything but the mixing, which is attention or convolution."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import PLAIN_VALUES
from lightning.pytorch import Trainer
from scipy.signal import correlate2d
from scipy.special import erf
from torch import Tensor, nn

from lightning_topolip import TopoLipCallback, resolve_layers
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.models import AttentionClassifier, ConvClassifier, ImageClassifier
from lightning_topolip.models.attention import TokenAttention
from lightning_topolip.models.convolution import TokenConvolution
from lightning_topolip.models.token_block import TokenBlock, preserve_variance

# Lightning 2.6 asks torch's pytree in a way that torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")

PAIR: list[type[AttentionClassifier] | type[ConvClassifier]] = [AttentionClassifier, ConvClassifier]


def small(kind: type[AttentionClassifier] | type[ConvClassifier], **options: Any) -> ImageClassifier:
    """Build one of the pair with 16 tokens of 12 features."""
    return seeded(lambda: kind(**{"size": "micro", "image_size": 16, "width": 12, "depth": 4, **options}))


def seeded(build: Any, seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def layer_outputs(model: nn.Module, images: Tensor) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name in resolve_layers(model):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: tuple(output.shape)})
        )
    model(images)
    return shapes


@pytest.mark.parametrize("size", ["micro", "tiny", "small", "base"])
@pytest.mark.parametrize(("norm", "mlp_ratio"), [("layer", 0.0), ("batch", 0.0), ("none", 0.0), ("layer", 4.0)])
def test_the_pair_has_the_same_number_of_parameters(size: Any, norm: Any, mlp_ratio: float) -> None:
    with torch.device("meta"):
        attention, conv = (kind(size, norm=norm, mlp_ratio=mlp_ratio) for kind in PAIR)
    assert count(attention) == count(conv)
    blocks = zip(attention.network.blocks, conv.network.blocks, strict=True)  # type: ignore[arg-type]
    assert all(count(one) == count(other) for one, other in blocks)
    outside = [
        {name: tuple(value.shape) for name, value in model.state_dict().items() if ".blocks." not in name}
        for model in (attention, conv)
    ]
    assert outside[0] == outside[1]


@pytest.mark.parametrize("kind", PAIR)
def test_sizes_have_the_documented_number_of_parameters(kind: type[ConvClassifier]) -> None:
    with torch.device("meta"):
        counts = {size: count(kind(size)) / 1e6 for size in ("micro", "tiny", "small", "base")}  # type: ignore[arg-type]
    documented = {"micro": 0.23, "tiny": 1.8, "small": 7.1, "base": 28.0}
    assert all(f"{counts[size]:.2g}" == f"{documented[size]:.2g}" for size in documented)
    assert all(f"| {millions:g} million" in str(kind.__doc__) for millions in documented.values())


@pytest.mark.parametrize("depth", [4, 7, 24])
def test_the_layers_are_the_blocks_and_have_equal_shapes(depth: int) -> None:
    images = torch.rand(3, 3, 16, 16)
    attention, conv = (layer_outputs(small(kind, depth=depth), images) for kind in PAIR)
    assert attention == conv == {f"network.blocks.{index}": (3, 16, 12) for index in range(depth)}
    with_mlp = small(ConvClassifier, depth=depth, mlp_ratio=2.0)
    assert resolve_layers(with_mlp) == list(conv)


def test_attention_is_that_of_torch() -> None:
    attention = TokenAttention(12, heads=3)
    reference = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(attention.qkv.weight)
        reference.in_proj_bias.zero_()
        reference.out_proj.weight.copy_(attention.proj.weight)
        reference.out_proj.bias.copy_(attention.proj.bias)
    tokens = torch.randn(2, 9, 12)
    expected = reference(tokens, tokens, tokens, need_weights=False)[0]
    assert torch.allclose(attention(tokens), expected, atol=1e-6)


def test_convolution_is_that_of_scipy_within_three_groups() -> None:
    conv = TokenConvolution(6)
    tokens = torch.randn(1, 25, 6)
    kernels = conv.spatial.weight.detach().double().numpy()
    grid = tokens[0].double().numpy().reshape(5, 5, 6)
    mixed = np.zeros((5, 5, 6))
    for output, offset in itertools.product(range(6), range(2)):
        channel = 2 * (output // 2) + offset
        mixed[:, :, output] += correlate2d(grid[:, :, channel], kernels[output, offset], mode="same")
    gelu = 0.5 * mixed * (1 + erf(mixed / math.sqrt(2)))
    weight, bias = (parameter.detach().double().numpy() for parameter in (conv.proj.weight, conv.proj.bias))
    expected = (gelu @ weight.T + bias).reshape(1, 25, 6)
    assert np.allclose(conv(tokens).detach().numpy(), expected, atol=1e-5)


def test_a_convolution_block_sees_its_neighbours_and_an_attention_block_sees_all() -> None:
    tokens = torch.randn(1, 49, 12, requires_grad=True)
    rows, columns = torch.arange(49) // 7, torch.arange(49) % 7
    distance = torch.maximum((rows - 3).abs(), (columns - 3).abs())
    for depth in (1, 2):
        for kind in PAIR:
            blocks = small(kind, depth=depth, image_size=28).network.blocks
            (gradient,) = torch.autograd.grad(blocks(tokens)[0, 24].square().sum(), tokens)  # type: ignore[operator]
            seen = gradient[0].abs().amax(dim=1) > 0
            assert torch.equal(seen, distance <= (depth if kind is ConvClassifier else 3))


def test_attention_ignores_the_order_of_tokens_and_convolution_does_not() -> None:
    tokens, order = torch.randn(2, 16, 12), torch.randperm(16, generator=torch.Generator().manual_seed(0))
    attention, conv = (small(kind).network.blocks for kind in PAIR)
    assert torch.allclose(attention(tokens[:, order]), attention(tokens)[:, order], atol=1e-5)  # type: ignore[operator]
    assert not torch.allclose(conv(tokens[:, order]), conv(tokens)[:, order], atol=0.1)  # type: ignore[operator]


@pytest.mark.parametrize("kind", PAIR)
@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("pre_norm", [True, False])
def test_every_switch_trains_all_parameters(kind: Any, norm: str, residual: bool, pre_norm: bool) -> None:
    model = small(kind, norm=norm, residual=residual, pre_norm=pre_norm, mlp_ratio=2.0)
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    nn.functional.cross_entropy(model(images), torch.arange(8)).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm | nn.BatchNorm1d)]
    kinds = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": nn.Module}
    assert len(norms) == (0 if norm == "none" else 2 * 4 + pre_norm)
    assert all(isinstance(module, kinds[norm]) for module in norms)


@pytest.mark.parametrize("kind", PAIR)
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_signals_keep_their_size_through_residual_blocks(kind: Any, norm: str) -> None:
    blocks = small(kind, width=96, depth=24, norm=norm).network.blocks
    tokens = torch.randn(8, 16, 96, generator=torch.Generator().manual_seed(1))
    assert 1 < blocks(tokens).std() < 1.7  # type: ignore[operator]


def test_a_convolution_without_residual_connection_keeps_the_size_of_a_signal_except_at_the_border() -> None:
    block = TokenBlock(96, {"conv": TokenConvolution(96)}, nn.Identity, residual=False)
    seeded(lambda: preserve_variance(nn.Sequential(block)))
    tokens = torch.randn(8, 256, 96, generator=torch.Generator().manual_seed(1))
    inside = block(tokens).reshape(8, 16, 16, 96)[:, 1:-1, 1:-1]
    assert inside.square().mean().sqrt().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", PAIR)
def test_the_same_seed_gives_the_same_network_and_output(kind: Any) -> None:
    images = torch.rand(2, 3, 16, 16)
    one, other, third = small(kind), small(kind), seeded(lambda: kind("micro", image_size=16, width=12, depth=4), 1)
    assert torch.equal(one(images), other(images))
    assert not torch.equal(one(images), third(images))


@pytest.mark.parametrize("kind", PAIR)
def test_norms_do_not_change_other_weights(kind: Any) -> None:
    layer, none = (small(kind, norm=norm).state_dict() for norm in ("layer", "none"))
    assert set(none) == {name for name in layer if "norm" not in name}
    assert all(torch.equal(layer[name], none[name]) for name in none)


@pytest.mark.parametrize("kind", PAIR)
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_the_callback_measures_every_block(kind: Any, norm: str, tmp_path: Path) -> None:
    smoothness = TopoLipCallback(probe_size=16, on_error="raise")
    trainer = Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=2,
        callbacks=[smoothness],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    data = DigitsDataModule(batch_size=16, image_size=16)
    model = small(kind, norm=norm, residual=norm != "none")
    trainer.fit(model, data)
    report = smoothness.history.last
    assert report.layers[1:] == tuple(f"network.blocks.{index}" for index in range(4))
    assert 0 < report.score < math.inf
    path = tmp_path / "model.ckpt"
    trainer.save_checkpoint(path)
    again = kind.load_from_checkpoint(path, **PLAIN_VALUES)
    assert dict(again.hparams) == dict(model.hparams)
    assert again.hparams["norm"] == norm
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(again.eval()(images), model.eval()(images))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "epochs", "accuracy"), [(AttentionClassifier, 10, 0.75), (ConvClassifier, 6, 0.9)])
def test_the_pair_learns_digits(kind: Any, epochs: int, accuracy: float) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind("micro", depth=4, patch_size=8, learning_rate=3e-3)
    trainer = Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    data = DigitsDataModule(batch_size=64)
    trainer.fit(model, data)
    assert trainer.test(model, data, verbose=False)[0]["test/accuracy"] > accuracy


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        (ConvClassifier, {"size": "huge"}, r"`size` must be one of \('micro', 'tiny', 'small', 'base'\), got 'huge'"),
        (ConvClassifier, {"width": 64}, "`width` must be a multiple of the 3 groups .* got 64; try"),
        (AttentionClassifier, {"width": 64}, "`width` must be a multiple of `heads`, got width=64 and heads=6; set"),
        (AttentionClassifier, {"heads": 0}, "`width`, `depth` and `heads` must be at least 1, got 384, 12, 0; try"),
        (ConvClassifier, {"depth": 0}, "`width`, `depth` and `heads` must be at least 1, got 384, 0, 6; try"),
        (ConvClassifier, {"patch_size": 5}, "`image_size` must be a multiple of `patch_size`, got image_size=32 and"),
        (ConvClassifier, {"mlp_ratio": -1.0}, "`mlp_ratio` must be at least 0, got -1.0; try"),
        (ConvClassifier, {"norm": "group"}, r"`norm` must be one of \('layer', 'batch', 'none'\), got 'group'"),
        (AttentionClassifier, {"drop_path": 1.0}, "`drop_path` must be at least 0 and below 1, got 1.0; try"),
        (
            AttentionClassifier,
            {"drop_path": 0.1, "residual": False},
            "`drop_path` must be 0 with `residual=False`, got 0.1",
        ),
    ],
)
def test_wrong_arguments_are_refused_with_a_hint(kind: Any, options: dict[str, Any], text: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=text):
        kind(**options)
