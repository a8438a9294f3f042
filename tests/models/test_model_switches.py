"""The switches of ViT and ResNet, and the networks with default switches, which are those of timm."""

import itertools
import math
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.paths import EXAMPLES
from helpers.recipes import with_small_probe
from helpers.trainings import PLAIN_VALUES
from lightning.pytorch import Trainer
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn.functional import cross_entropy

from lightning_topolip import TopoLipCallback, models, resolve_layers
from lightning_topolip.cli import main
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.models import ImageClassifier, ResNetClassifier, ViTClassifier
from lightning_topolip.models.switches import TokenBatchNorm
from lightning_topolip.models.token_block import TokenBlock

# Lightning 2.6 asks torch's pytree in a way that torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")

SHOWN = {
    recipe: [
        shlex.split(shown)[2:] for shown in re.findall(r"#     topolip (fit --config .*--model.*)", recipe.read_text())
    ]
    for recipe in (
        EXAMPLES / f"{name}.yaml" for name in ("attention_digits", "conv_digits", "vit_ablation", "resnet_ablation")
    )
}
SWITCHES = list(itertools.product(("layer", "batch", "none"), (True, False)))
NORM = ("weight", "bias")
BATCH_NORM = (*NORM, "running_mean", "running_var", "num_batches_tracked")


def vit(**options: Any) -> ImageClassifier:
    return seeded(lambda: ViTClassifier(**{"size": "micro", "image_size": 16, "width": 16, "heads": 2, **options}))


def resnet(**options: Any) -> ImageClassifier:
    return seeded(lambda: ResNetClassifier(**{"size": "micro", "image_size": 16, "width": 8, **options}))


def seeded(build: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def norms(network: nn.Module) -> list[nn.Module]:
    return [
        module for module in network.modules() if isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
    ]


def test_the_state_of_a_vit_has_the_same_keys_as_in_earlier_versions() -> None:
    block = [
        f"{part}.{name}" for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2") for name in NORM
    ]
    ends = ["fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"]
    starts = ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]
    network = [*starts, *(f"blocks.{index}.{name}" for index in range(2) for name in block), *ends]
    assert list(vit(depth=2).state_dict()) == ["mean", "std", *(f"network.{name}" for name in network)]


def test_the_state_of_a_resnet_has_the_same_keys_as_in_earlier_versions() -> None:
    def normed(conv: str, norm: str) -> list[str]:
        return [f"{conv}.weight", *(f"{norm}.{name}" for name in BATCH_NORM)]

    network = normed("conv1", "bn1")
    for stage in (1, 2, 3, 4):
        parts = [("conv1", "bn1"), ("conv2", "bn2"), *([("downsample.0", "downsample.1")] if stage > 1 else [])]
        network += [f"layer{stage}.0.{name}" for conv, norm in parts for name in normed(conv, norm)]
    network += ["fc.weight", "fc.bias"]
    state = resnet(blocks=[1, 1, 1, 1]).state_dict()
    assert list(state) == ["mean", "std", *(f"network.{name}" for name in network)]


@pytest.mark.parametrize("pool", ["avg", "token"])
def test_the_default_vit_is_that_of_timm(pool: Any) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reference = VisionTransformer(
            img_size=16, patch_size=4, num_classes=10, global_pool=pool, embed_dim=16, depth=3, num_heads=2
        )
    network = vit(depth=3, pool=pool).network
    expected = reference.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(network(images), reference(images))


@pytest.mark.parametrize("pre_norm", [True, False])
def test_blocks_are_those_of_torch(pre_norm: bool) -> None:
    block = vit(depth=1, pre_norm=pre_norm).network.blocks[0]  # type: ignore[index]
    reference = nn.TransformerEncoderLayer(
        16, 2, 64, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=pre_norm
    )
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
        for theirs, parameter in reference.named_parameters():
            renamed = (theirs.replace("self_attn.in_proj_", "attn.qkv."), "self_attn.out_proj", "attn.proj")
            parameter.copy_(block.get_parameter(str.replace(*renamed).replace("linear", "mlp.fc")))
    tokens = torch.randn(2, 5, 16)
    assert torch.allclose(block(tokens), reference(tokens), atol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
@pytest.mark.parametrize("pre_norm", [True, False])
def test_without_residual_connection_a_zero_branch_returns_zeros(norm: str, pre_norm: bool) -> None:
    tokens = torch.randn(4, 5, 16)
    for residual in (True, False):
        block = vit(depth=1, norm=norm, residual=residual, pre_norm=pre_norm).network.blocks[0]  # type: ignore[index]
        for outer in (block.attn.proj, block.mlp.fc2):
            nn.init.zeros_(outer.weight)
        passed = tokens if pre_norm or norm == "none" else block.norm1(tokens)
        assert torch.allclose(block(tokens), passed if residual else torch.zeros(()), atol=1e-4)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("norm", [nn.LayerNorm, TokenBatchNorm, nn.Identity])
def test_only_a_norm_makes_a_block_invariant_to_scale(norm: type[nn.Module], pre_norm: bool) -> None:
    linear = {"linear": nn.Linear(16, 16, bias=False)}
    block = TokenBlock(16, linear, norm, residual=False, pre_norm=pre_norm)
    tokens = torch.randn(4, 5, 16)
    gain = block(2 * tokens).norm() / block(tokens).norm()
    assert gain.item() == pytest.approx(2 if norm is nn.Identity else 1, rel=1e-3)


def test_batch_norm_of_tokens_is_that_of_torch_on_transposed_tokens() -> None:
    ours, reference = TokenBatchNorm(6), nn.BatchNorm1d(6)
    for step in range(3):
        tokens = 3 + (step + 1) * torch.randn(4, 5, 6)
        assert torch.allclose(ours(tokens), reference(tokens.transpose(1, 2)).transpose(1, 2), atol=1e-5)
    ours.eval(), reference.eval()
    assert torch.allclose(ours(tokens), reference(tokens.transpose(1, 2)).transpose(1, 2), atol=1e-5)
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(ours)
    assert torch.allclose(synced(tokens), ours(tokens))


def test_batch_norm_trains_on_one_image() -> None:
    assert vit(depth=1, norm="batch").train()(torch.rand(1, 3, 16, 16)).isfinite().all()


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [
        (4, [1, 1, 1, 1]),
        (5, [1, 1, 2, 1]),
        (6, [1, 2, 2, 1]),
        (7, [2, 2, 2, 1]),
        (11, [3, 3, 3, 2]),
        (24, [6, 6, 6, 6]),
    ],
)
def test_resnet_spreads_its_depth_over_four_stages(depth: int, blocks: list[int]) -> None:
    for norm, residual in SWITCHES:
        model = resnet(depth=depth, norm=norm, residual=residual)
        names = [f"network.layer{stage}.{index}" for stage, n in enumerate(blocks, start=1) for index in range(n)]
        assert resolve_layers(model) == names
    same = resnet(blocks=blocks).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in resnet(depth=depth).state_dict().items())


@pytest.mark.parametrize(("norm", "residual"), SWITCHES)
@pytest.mark.parametrize("depth", [4, 24])
def test_vit_has_as_many_layers_as_blocks(norm: str, residual: bool, depth: int) -> None:
    model = vit(depth=depth, norm=norm, residual=residual)
    assert resolve_layers(model) == [f"network.blocks.{index}" for index in range(depth)]


@pytest.mark.parametrize("size", ["micro", "base"])
@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_a_resnet_block_adds_its_input_only_with_a_residual_connection(size: str, norm: str) -> None:
    maps = torch.randn(2, 32 if size == "base" else 8, 8, 8).relu()
    for residual in (True, False):
        network = resnet(size=size, blocks=[2, 1, 1, 1], norm=norm, residual=residual).network
        block = network.layer1[1]  # type: ignore[index]
        nn.init.zeros_((block.conv3 if size == "base" else block.conv2).weight)
        assert torch.equal(block(maps.clone()), maps if residual else torch.zeros_like(maps))
        projections = [name for name, _ in network.named_parameters() if "downsample" in name]
        assert bool(projections) == residual


@pytest.mark.parametrize("residual", [True, False])
def test_only_a_resnet_without_norms_scales_with_its_input(residual: bool) -> None:
    maps = torch.rand(2, 8, 8, 8)
    for norm in ("layer", "batch", "none"):
        network = resnet(depth=4, norm=norm, residual=residual).network.train()
        for name, parameter in network.named_parameters():
            if "conv" in name:
                nn.init.kaiming_normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
        stages = nn.Sequential(*(network.get_submodule(f"layer{stage}") for stage in (1, 2)))
        assert torch.allclose(stages(2 * maps), 2 * stages(maps), atol=1e-4) == (norm == "none")


@pytest.mark.parametrize("build", [vit, resnet])
@pytest.mark.parametrize(("norm", "residual"), SWITCHES)
def test_all_norms_are_of_the_requested_kind(build: Any, norm: str, residual: bool) -> None:
    network = build(depth=4, norm=norm, residual=residual).network
    modules = norms(network)
    kinds = {"layer": nn.LayerNorm, "batch": nn.modules.batchnorm._BatchNorm, "none": type(None)}
    assert all(isinstance(module, kinds[norm]) for module in modules)
    expected = 2 * 4 + 1 if build is vit else 2 * 4 + 1 + 3 * residual
    assert len(modules) == (0 if norm == "none" else expected)


def test_layer_norm_of_a_resnet_acts_on_the_channels_of_a_position() -> None:
    norm = norms(resnet(depth=4, norm="layer").network)[0]
    maps = norm(torch.randn(2, 8, 3, 3))
    assert torch.allclose(maps.mean(dim=1), torch.zeros(2, 3, 3), atol=1e-5)
    assert torch.allclose(maps.square().mean(dim=1), torch.ones(2, 3, 3), atol=1e-3)


@pytest.mark.parametrize("build", [vit, resnet])
@pytest.mark.parametrize(("norm", "residual"), SWITCHES)
def test_every_switch_trains_all_parameters(build: Any, norm: str, residual: bool) -> None:
    model = build(depth=4, norm=norm, residual=residual)
    for module in model.modules():
        for outer in (getattr(module, name, None) for name in ("bn2", "conv2")):
            if outer is not None and getattr(outer, "weight", None) is not None and not outer.weight.any():
                nn.init.normal_(outer.weight)  # residual branches of a ResNet start at zero
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    cross_entropy(model(images), torch.arange(8)).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_resnet_blocks_start_as_the_identity_and_signals_do_not_vanish_without_residual_connections(norm: str) -> None:
    maps = torch.rand(2, 8, 8, 8)
    block = resnet(depth=8, norm=norm).network.layer1[1]  # type: ignore[index]
    assert torch.equal(block(maps.clone()), maps)
    plain = resnet(width=16, depth=24, norm=norm, residual=False).network.layer1  # type: ignore[union-attr]
    size = plain(torch.randn(2, 16, 32, 32).relu()).square().mean().sqrt()  # type: ignore[operator]
    assert 0.2 < size < 2


def test_kernels_without_residual_connections_have_variance_two_over_their_inputs() -> None:
    kernel = resnet(width=16, depth=4, residual=False).network.get_submodule("layer4.0.conv1").weight
    assert kernel.var().item() == pytest.approx(2 / (64 * 9), rel=0.03)


@pytest.mark.parametrize("depth", [6, 24])
def test_signals_do_not_vanish_in_a_transformer_without_residual_connections(depth: int) -> None:
    model = vit(width=64, depth=depth, residual=False)
    tokens = model.network.blocks(torch.randn(4, 17, 64))  # type: ignore[operator]
    assert 0.5 < tokens.std() < 2
    assert (tokens - tokens.mean(dim=0)).std() > 0.1


@pytest.mark.parametrize(
    ("build", "norm", "residual"),
    [(vit, "batch", False), (vit, "none", True), (resnet, "layer", True), (resnet, "none", False)],
)
def test_the_callback_measures_every_block(build: Any, norm: str, residual: bool, tmp_path: Path) -> None:
    smoothness = TopoLipCallback(probe_size=16, on_error="raise")
    trainer = Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        limit_train_batches=1,
        limit_val_batches=1,
        callbacks=[smoothness],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    model = build(depth=5, norm=norm, residual=residual)
    trainer.fit(model, DigitsDataModule(batch_size=16, image_size=16))
    report = smoothness.history.last
    assert len(report.layers) == 6
    assert 0 < report.score < math.inf
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    again = type(model).load_from_checkpoint(tmp_path / "model.ckpt", **PLAIN_VALUES)
    assert (again.hparams["norm"], again.hparams["residual"], again.hparams["depth"]) == (norm, residual, 5)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(again.eval()(images), model.eval()(images))


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        (ViTClassifier, {"norm": "group"}, r"`norm` must be one of \('layer', 'batch', 'none'\), got 'group'"),
        (ResNetClassifier, {"norm": "group"}, r"`norm` must be one of \('layer', 'batch', 'none'\), got 'group'"),
        (ViTClassifier, {"residual": False, "drop_path": 0.1}, "`drop_path` must be 0 with `residual=False`"),
        (
            ResNetClassifier,
            {"residual": False, "drop_path": 0.1},
            "`drop_path` must be 0 with `residual=False`",
        ),
        (ResNetClassifier, {"drop_path": -0.1}, "`drop_path` must be at least 0 and below 1, got -0.1; try"),
        (ResNetClassifier, {"depth": 3}, "`depth` must be at least 4, one block per stage, got 3; try"),
        (
            ResNetClassifier,
            {"depth": 8, "blocks": [2, 2, 2, 2]},
            r"`depth` must be None with `blocks=\[2, 2, 2, 2\]`, got 8; set only one",
        ),
    ],
)
def test_wrong_switches_are_refused_with_a_hint(kind: Any, options: dict[str, Any], text: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=text):
        kind(**options)


@pytest.mark.parametrize("recipe", SHOWN, ids=lambda recipe: recipe.stem)
def test_the_switches_in_the_comments_of_a_recipe_exist(recipe: Path) -> None:
    model = yaml.safe_load(recipe.read_text())["model"]
    kind = getattr(models, model["class_path"].rpartition(".")[2])
    with torch.device("meta"):
        default = dict(kind(**model["init_args"]).hparams)
        for _, *options in SHOWN[recipe]:
            names = [name.removeprefix("--model.init_args.") for name in options[::2]]
            switched = dict(zip(names, map(yaml.safe_load, options[1::2]), strict=True))
            assert dict(kind(**{**model["init_args"], **switched}).hparams) == {**default, **switched} != default
    assert len(SHOWN[recipe]) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SHOWN, ids=lambda recipe: recipe.stem)
def test_a_recipe_runs_with_its_switches(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["topolip"])
    switches = next(options for _, *options in SHOWN[recipe] if len(options) > 2)
    quiet = ("enable_progress_bar=false", "enable_model_summary=false", "accelerator=cpu", "fast_dev_run=true")
    short = with_small_probe(recipe, tmp_path)
    main(["fit", "--config", str(short), *(f"--trainer.{option}" for option in quiet), *switches])
