"""The gradient penalty and spectral norms of the bundled networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn.functional import cross_entropy

from lightning_topolip.models import (
    AttentionClassifier,
    ConvClassifier,
    ImageClassifier,
    ResNetClassifier,
    ViTClassifier,
)
from lightning_topolip.models.smoothing import penalised_loss

KINDS: dict[type[ImageClassifier], dict[str, Any]] = {
    ResNetClassifier: {"width": 8},
    ViTClassifier: {"width": 16, "heads": 2, "patch_size": 8},
    AttentionClassifier: {"width": 12, "heads": 2, "patch_size": 8},
    ConvClassifier: {"width": 12, "patch_size": 8},
}


def test_the_gradient_penalty_of_a_linear_model_has_a_closed_form() -> None:
    """The gradient of a logistic loss is W^T (softmax - one-hot)."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 12, generator=generator)
    images, labels = torch.randn(5, 3, 2, 2, generator=generator), torch.tensor([0, 1, 2, 0, 1])
    logits, loss = penalised_loss(lambda pixels: pixels.flatten(1) @ weight.T, images, labels, 0.1, 0.5)
    targets = 0.9 * torch.eye(3)[labels] + 0.1 / 3
    gradients = (logits.softmax(dim=1) - targets) @ weight
    expected = cross_entropy(logits, labels, label_smoothing=0.1) + 0.5 * gradients.square().sum(dim=1).mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_gradient_penalty_trains_every_network(kind: type[ImageClassifier]) -> None:
    torch.manual_seed(0)
    model = kind(size="micro", image_size=16, **KINDS[kind])  # type: ignore[call-arg]
    images, labels = torch.rand(6, 3, 16, 16), torch.arange(6)
    _, plain = penalised_loss(model, images, labels, 0.0, 0.0)
    _, loss = penalised_loss(model, images, labels, 0.0, 1.0)
    loss.backward()
    assert loss > plain
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_spectral_norms_are_one(kind: type[ImageClassifier]) -> None:
    torch.manual_seed(0)
    model = kind(size="micro", image_size=16, spectral_norm=True, **KINDS[kind])  # type: ignore[call-arg]
    for _ in range(30):
        model(torch.rand(1, 3, 16, 16))
    model.eval()
    layers = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    norms = [float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) for layer in layers]
    assert norms == pytest.approx([1.0] * len(layers), rel=0.05)


def test_a_checkpoint_keeps_them(tmp_path: Path) -> None:
    from helpers.trainings import trainer

    model: LightningModule = ResNetClassifier(size="micro", width=8, image_size=16, spectral_norm=True)
    data = torch.utils.data.DataLoader([(torch.rand(3, 16, 16), index % 2) for index in range(8)], batch_size=4)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "last.ckpt")
    again = ResNetClassifier.load_from_checkpoint(tmp_path / "last.ckpt")
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(again.eval()(images), model.eval()(images))


def test_a_negative_penalty_is_refused() -> None:
    with pytest.raises(ValueError, match="Argument `gradient_penalty` must be at least 0, got -1"):
        ResNetClassifier(gradient_penalty=-1)
