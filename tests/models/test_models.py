"""The classifiers: shapes, normalisation, weight decay, schedule, learning, checkpoints and errors."""

import inspect
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.trainings import PLAIN_VALUES
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_topolip.models import (
    AttentionClassifier,
    ConvClassifier,
    HybridClassifier,
    ImageClassifier,
    ResNetClassifier,
    ViTClassifier,
)

# Lightning 2.6 asks torch's pytree in a way that torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")

MICRO: list[type[ViTClassifier] | type[ResNetClassifier]] = [ViTClassifier, ResNetClassifier]
Pairs = list[tuple[Tensor, Tensor]]


def micro(kind: type[ViTClassifier] | type[ResNetClassifier], **options: Any) -> ImageClassifier:
    shape = {"width": 16, "heads": 2, "depth": 2} if kind is ViTClassifier else {"width": 4, "blocks": [1] * 4}
    return kind(size="micro", image_size=16, **{**shape, **options})


def pairs(count: int = 32) -> Pairs:
    """Return images whose class, 0 or 1, is their brightness."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    images = 0.4 * torch.rand(count, 3, 16, 16, generator=generator) + 0.5 * labels.view(-1, 1, 1, 1)
    return [(image, label) for image, label in zip(images, labels, strict=True)]


def quiet(**options: Any) -> Trainer:
    return Trainer(
        **{"max_epochs": 1, "logger": False, "enable_checkpointing": False, **options},
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )


def loader(batch_size: int = 8) -> DataLoader[Any]:
    return DataLoader(pairs(), batch_size=batch_size)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", MICRO)
def test_larger_sizes_have_more_parameters_and_return_logits(kind: type[ViTClassifier]) -> None:
    counts = []
    for size in ("micro", "tiny", "small"):
        model = kind(size=size, num_classes=7).eval()
        with torch.no_grad():
            assert model(torch.rand(2, 3, 32, 32)).shape == (2, 7)
        counts.append(sum(parameter.numel() for parameter in model.parameters()))
    assert all(small < large for small, large in itertools.pairwise(counts))


def test_published_sizes_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        small = ResNetClassifier("small").network
        base = ResNetClassifier("base", num_classes=1000, image_size=224).network
        vit = ViTClassifier("base", num_classes=1000, image_size=224, patch_size=16).network
    assert sum(p.numel() for p in small.parameters()) == 11_173_962  # ResNet-18 for CIFAR
    assert sum(p.numel() for p in base.parameters()) == 25_557_032  # ResNet-50
    assert sum(p.numel() for p in vit.parameters()) == 86_567_656  # ViT-B/16


def test_blocks_are_where_the_docstring_says() -> None:
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: shapes.update({name: tuple(output.shape)})

    for model in (micro(ViTClassifier, depth=3), micro(ResNetClassifier, blocks=[1, 2, 1, 1])):
        for name, module in model.named_modules():
            if name.startswith("network.blocks.") and name.count(".") == 2:
                module.register_forward_hook(keep(name))
            if name.startswith("network.layer") and name.count(".") == 2:
                module.register_forward_hook(keep(name))
        model(torch.rand(2, 3, 16, 16))
    assert shapes == {
        "network.blocks.0": (2, 17, 16),
        "network.blocks.1": (2, 17, 16),
        "network.blocks.2": (2, 17, 16),
        "network.layer1.0": (2, 4, 16, 16),
        "network.layer2.0": (2, 8, 8, 8),
        "network.layer2.1": (2, 8, 8, 8),
        "network.layer3.0": (2, 16, 4, 4),
        "network.layer4.0": (2, 32, 2, 2),
    }


def test_the_stem_fits_the_image() -> None:
    small, large = (ResNetClassifier("micro", image_size=size).network for size in (64, 128))
    image = torch.rand(1, 3, 128, 128)
    for network, pixels in ((small, 128), (large, 32)):
        stem = nn.Sequential(network.conv1, network.bn1, network.act1, network.maxpool)  # type: ignore[arg-type]
        assert stem(image).shape == (1, 16, pixels, pixels)


def test_pixels_are_normalised_inside_forward() -> None:
    model = ImageClassifier(nn.Flatten(), num_classes=2, in_channels=2, mean=[0.5, 0.0], std=[0.25, 2.0])
    image = torch.tensor([1.0, 1.0]).view(1, 2, 1, 1)
    assert model(image).tolist() == [[2.0, 0.5]]
    assert {"mean", "std"} <= set(model.state_dict())
    assert not {"mean", "std"} & {name for name, _ in model.named_parameters()}


def test_the_head_reads_the_patches_or_the_class_token() -> None:
    tokens = torch.randn(2, 17, 16)
    for pool, read in (("avg", tokens[:, 1:].mean(1)), ("token", tokens[:, 0])):
        network = micro(ViTClassifier, pool=pool).network
        network.norm, network.fc_norm = nn.Identity(), nn.Identity()
        expected = network.head(read)  # type: ignore[operator]
        assert torch.allclose(network.forward_head(tokens), expected)  # type: ignore[operator]


@pytest.mark.parametrize("kind", MICRO)
def test_gradients_reach_the_pixels_and_every_parameter(kind: type[ViTClassifier]) -> None:
    model = micro(kind)
    for name, parameter in model.named_parameters():
        if name.endswith("bn2.weight"):  # timm starts residual branches of a ResNet at zero
            nn.init.ones_(parameter)
    images = torch.rand(4, 3, 16, 16, requires_grad=True)
    model(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().amax(dim=(1, 2, 3)).min() > 0
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@pytest.mark.parametrize("kind", MICRO)
def test_only_matrices_and_kernels_decay(kind: type[ViTClassifier]) -> None:
    model = micro(kind, weight_decay=0.3)
    names = {parameter: name for name, parameter in model.network.named_parameters()}
    decayed, exempt = model._parameter_groups()
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.3, 0.0)
    decayed_names, exempt_names = ({names[p] for p in group["params"]} for group in (decayed, exempt))
    assert decayed_names | exempt_names == set(names.values())
    assert not decayed_names & exempt_names
    assert all(name.endswith("weight") for name in decayed_names)
    assert not any("norm" in name or ".bn" in name for name in decayed_names)
    if kind is ViTClassifier:
        assert {"pos_embed", "cls_token", "head.bias", "blocks.0.norm1.weight"} <= exempt_names
        assert {"patch_embed.proj.weight", "blocks.1.attn.qkv.weight", "head.weight"} <= decayed_names
    else:
        assert {"fc.bias", "bn1.weight", "layer2.0.downsample.1.weight"} <= exempt_names
        assert {"conv1.weight", "layer4.0.conv2.weight", "fc.weight"} <= decayed_names


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_learning_rate_warms_up_and_ends_at_zero(optimizer: str) -> None:
    rates = []

    class Recorded(ImageClassifier):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    model = Recorded(network, 2, optimizer=optimizer, learning_rate=0.4, warmup_fraction=0.2)  # type: ignore[arg-type]
    trainer = quiet(max_epochs=5)
    trainer.fit(model, loader(), loader())
    assert len(rates) == 20
    assert rates[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert rates[12] == pytest.approx(0.2)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(0.2 * (1 + math.cos(math.pi * 15 / 16)))
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
    assert type(trainer.optimizers[0]).__name__.lower() == optimizer


def test_accumulated_batches_count_as_one_step() -> None:
    model = ImageClassifier(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), 2, optimizer="sgd")
    trainer = quiet(max_epochs=3, accumulate_grad_batches=2)
    trainer.fit(model, loader(), loader())
    assert trainer.global_step == 6
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", MICRO)
def test_a_few_epochs_learn_and_log(kind: type[ViTClassifier]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = micro(kind, num_classes=2, learning_rate=0.01 if kind is ViTClassifier else 0.05)
    before = quiet().validate(model, loader(), verbose=False)[0]
    trainer = quiet(max_epochs=4)
    trainer.fit(model, loader(), loader())
    logged = {key: float(value) for key, value in trainer.callback_metrics.items()}
    assert set(logged) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}
    assert logged["val/loss"] < 0.5 * before["val/loss"]
    assert logged["val/accuracy"] == 1.0
    tested = trainer.test(model, loader(), verbose=False)[0]
    assert tested == {"test/loss": pytest.approx(logged["val/loss"]), "test/accuracy": 1.0}


def test_labels_are_smoothed_in_training_only() -> None:
    model = ImageClassifier(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), 2, label_smoothing=0.5)
    logged: dict[str, Tensor] = {}
    model.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[method-assign]
    batch = next(iter(loader()))
    logs = model(batch[0]).log_softmax(1)
    plain = -logs[torch.arange(8), batch[1]].mean()
    model.training_step(batch, 0)
    model.validation_step(batch, 0)
    assert torch.isclose(logged["val/loss"], plain)
    assert torch.isclose(logged["train/loss"], 0.5 * plain - 0.5 * logs.mean())


@pytest.mark.parametrize("kind", MICRO)
def test_a_checkpoint_restores_the_same_model(kind: type[ViTClassifier], tmp_path: Path) -> None:
    model = micro(kind, num_classes=2, mean=[0.4, 0.5, 0.6], optimizer="sgd", learning_rate=0.01)
    trainer = quiet(default_root_dir=tmp_path)
    trainer.fit(model, loader(), loader())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    again = kind.load_from_checkpoint(tmp_path / "model.ckpt", **PLAIN_VALUES)
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), again.eval()(images))
    assert dict(again.hparams) == dict(model.hparams)
    assert "network" not in again.hparams
    assert again.hparams["learning_rate"] == 0.01


@pytest.mark.parametrize(
    "kind", [ViTClassifier, ResNetClassifier, AttentionClassifier, ConvClassifier, HybridClassifier]
)
def test_every_classifier_takes_the_training_options_of_the_base_class(kind: Any) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(kind, "model")
    listed = vars(parser.get_defaults().model)
    defaults = inspect.getfullargspec(ImageClassifier.__init__).kwonlydefaults or {}
    if kind is ResNetClassifier:
        defaults["learning_rate"] = 3e-3
    assert len(defaults) == 10
    assert defaults.items() <= listed.items()
    given = {**defaults, "optimizer": "sgd", "momentum": 0.5, "std": [1.0, 2.0, 3.0]}
    with torch.device("meta"):
        assert dict(kind("micro").hparams) == {**listed, "size": "micro"}
        assert dict(kind("micro", **given).hparams) == {**listed, "size": "micro", **given}
        with pytest.raises(TypeError, match="unexpected keyword argument 'learning_rat'"):
            kind("micro", learning_rat=0.1)


def test_predictions_are_logits_of_pairs_or_images() -> None:
    model = micro(ResNetClassifier)
    outputs = quiet().predict(model, loader())
    assert outputs is not None
    assert [output.shape for output in outputs] == [(8, 10)] * 4  # type: ignore[union-attr]
    images = torch.rand(2, 3, 16, 16)
    assert model.eval().predict_step(images, 0).shape == (2, 10)


def test_inheritance_stays_flat() -> None:
    assert ImageClassifier.__bases__ == (LightningModule,)
    assert ViTClassifier.__bases__ == ResNetClassifier.__bases__ == (ImageClassifier,)


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        (ViTClassifier, {"size": "huge"}, r"`size` must be one of \('micro', 'tiny', 'small', 'base'\), got 'huge'"),
        (
            ViTClassifier,
            {"patch_size": 5},
            "`image_size` must be a multiple of `patch_size`, got image_size=32 and patch_size=5; resize",
        ),
        (
            ViTClassifier,
            {"width": 100},
            "`width` a multiple of `heads`, got width=100, depth=12 and heads=6; set",
        ),
        (ViTClassifier, {"pool": "max"}, r"`pool` must be one of \('avg', 'token'\), got 'max'"),
        (ViTClassifier, {"depth": 0}, "must be at least 1, .* got width=384, depth=0 and heads=6; set"),
        (
            ResNetClassifier,
            {"size": "huge"},
            r"`size` must be one of \('micro', 'tiny', 'small', 'base'\), got 'huge'",
        ),
        (ResNetClassifier, {"image_size": 4}, "`image_size` must be at least 8, got 4; .* enlarge"),
        (ResNetClassifier, {"blocks": [2, 2]}, r"`blocks` must be four numbers.* got \[2, 2\]; try"),
        (ResNetClassifier, {"width": 15}, "`width` must be even and at least 2, got 15; try"),
        (
            ResNetClassifier,
            {"mean": [0.5]},
            r"`mean` must have one number for each of the 3 channels, got \[0.5\]; None",
        ),
        (ResNetClassifier, {"std": [1.0, 0.0, 1.0]}, "`std` must be positive in every channel, got"),
        (ResNetClassifier, {"optimizer": "adam"}, "`optimizer` must be 'adamw' or 'sgd', got 'adam'; for"),
        (
            ResNetClassifier,
            {"label_smoothing": 1.0},
            "`label_smoothing` must be at least 0 and below 1, got 1.0",
        ),
        (
            ResNetClassifier,
            {"warmup_fraction": -0.1},
            "`warmup_fraction` must be at least 0 and below 1, got -0.1",
        ),
        (ResNetClassifier, {"learning_rate": 0.0}, "`learning_rate` must be above 0 .*got 0.0 and 0.05"),
        (ResNetClassifier, {"num_classes": 1}, "`num_classes` must be at least 2, got 1"),
    ],
)
def test_wrong_arguments_are_refused_with_a_hint(kind: Any, options: dict[str, Any], text: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=text):
        kind(**options)


def test_wrong_images_and_endless_trainings_are_refused() -> None:
    model = micro(ResNetClassifier)
    with pytest.raises(ValueError, match=r"`images` must have shape \(batch, 3, .*got \(2, 1, 16, 16\)"):
        model(torch.rand(2, 1, 16, 16))
    with pytest.raises(ValueError, match="`max_epochs` of the Trainer must be finite"):
        quiet(max_epochs=-1).fit(model, loader(), loader())
