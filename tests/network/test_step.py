"""A LightningModule without a forward for its batches runs its step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from helpers.trainings import INPUTS, Order, Tiny, loader, trainer
from lightning import LightningModule, seed_everything
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import Tensor, nn

from lightning_topolip import TopoLipCallback, analyze


class WithoutForward(Tiny):
    """Everything is in the steps."""

    forward = LightningModule.forward

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = torchmetrics.MeanMetric()
        self.validated: list[Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        logits = self.layers(batch[0])
        self.validated.append(logits.detach())
        self.accuracy(logits.argmax(1) == batch[1])
        self.log("val/accuracy", self.accuracy)


class Generative(WithoutForward):
    """A forward that takes something else than the batch."""

    def forward(self, noise: Tensor) -> Tensor:
        return noise @ torch.zeros(99, 1)


class TrainingOnly(Tiny):
    """No validation step, and a forward that wants names that the batch does not have."""

    def forward(self, images: Tensor, captions: Tensor, masks: Tensor) -> Tensor:
        raise AssertionError

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    validation_step = LightningModule.validation_step


class Manual(TrainingOnly):
    """A training step that must not run in an analysis."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


@pytest.mark.parametrize("kind", [WithoutForward, Generative, TrainingOnly])
def test_the_step_takes_the_place_of_the_forward_and_training_does_not_change(tmp_path: Path, kind: Any) -> None:
    def trained(*callbacks: Any) -> Any:
        seed_everything(0, verbose=False)
        model, order = kind(), Order()
        run = trainer(tmp_path, order, *callbacks, max_epochs=2)
        run.fit(model, loader(shuffle=True), None if kind is TrainingOnly else loader())
        metrics = {key: value for key, value in run.callback_metrics.items() if not key.startswith("topolip")}
        return model.state_dict(), order.seen, metrics, getattr(model, "validated", [])

    callback = TopoLipCallback(probe_size=16)
    step = "training_step" if kind is TrainingOnly else "validation_step"
    with pytest.warns(UserWarning, match=rf"runs `{step}` of {kind.__name__} instead of its `forward` .*forward_fn"):
        with_callback = trained(callback)
    torch.testing.assert_close(with_callback, trained(), rtol=0, atol=0)
    assert callback.history.last is not None
    assert callback.history.last.score > 0


def test_the_layers_are_those_of_the_step() -> None:
    model, batch = Generative(), (INPUTS, (INPUTS.sum(1) > 0).long())
    with pytest.warns(UserWarning, match="runs `validation_step` of Generative"):
        report = analyze(model, batch)
    expected = analyze(model.layers, INPUTS)
    assert np.array_equal(report.curve, expected.curve)
    assert model.validated == []
    assert not model.accuracy.update_called


@pytest.mark.filterwarnings("ignore:A TopoLip analysis failed", "ignore:.*analyses failed")
def test_a_manual_training_step_does_not_run_in_an_analysis(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=16)
    trainer(tmp_path, callback, max_epochs=1).fit(Manual(), loader())
    assert callback.history.last is None


def test_other_modules_raise_their_own_error() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        analyze(nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5)), torch.zeros(4, 3))


class FromBoring(BoringModel):
    """Overrides a step and inherits the forward of another LightningModule."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(*[nn.Linear(6, 6) for _ in range(4)])  # type: ignore[assignment]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        raise AssertionError


def test_an_inherited_forward_is_a_forward() -> None:
    report = analyze(FromBoring(), INPUTS)
    assert np.isfinite(report.score)
