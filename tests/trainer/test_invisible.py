"""Training does not feel the callback: every bit is as it is without."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import PLAIN_VALUES, Augmented, Order, Tiny, loader, trainer
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_topolip import TopoLipCallback
from lightning_topolip.models import ResNetClassifier, ViTClassifier


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("kind", [ViTClassifier, ResNetClassifier])
def test_training_is_bit_identical_with_and_without_it(tmp_path: Path, kind: Any, validate: bool) -> None:
    def run(*callbacks: Callback) -> list[Any]:
        seed_everything(7, verbose=False)
        model = kind(size="micro", num_classes=4, drop_path=0.2, warmup_fraction=0.0)
        model.network = nn.Sequential(model.network, nn.BatchNorm1d(4), nn.Dropout(0.2))
        order = Order()
        fitted = trainer(tmp_path, order, *callbacks, max_epochs=2)
        training = DataLoader(Augmented(), batch_size=8, shuffle=True)
        fitted.fit(model, training, DataLoader(Augmented(), batch_size=8) if validate else None)
        states = [optimizer.state_dict() for optimizer in fitted.optimizers]
        gradients = [parameter.grad for parameter in model.parameters()]
        modes = [module.training for module in model.modules()]
        return [model.state_dict(), gradients, states, order.seen, torch.get_rng_state(), modes]

    callback = TopoLipCallback(probe_size=16, halvings=1)
    torch.testing.assert_close(run(callback), run(), rtol=0, atol=0)
    assert callback.history.epochs == [0, 1, 2]


class Still(Tiny):
    """Does not learn, so that nothing may drift; changes the batch and draws wherever a module can."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        inputs, labels = batch
        return (inputs + torch.randn_like(inputs) if self.trainer.training else inputs * 2), labels

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.mul_(0.5))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.layers[5:].parameters(), lr=0.0)


@pytest.mark.filterwarnings("ignore:TopoLip needs two steps")
@pytest.mark.parametrize("validate", [True, False])
def test_nothing_drifts_where_nothing_learns(tmp_path: Path, validate: bool) -> None:
    callback = TopoLipCallback(probe_size=16, layers="layers.0")
    run = trainer(tmp_path, callback)
    run.fit(Still(), loader(), loader() if validate else None)
    assert callback.history.epochs == [0, 1, 2, 3]
    assert [moved["layers.0"] for moved in callback.history.epoch_drifts[1:]] == [0, 0, 0]


def test_transfer_hooks_do_not_make_training_differ(tmp_path: Path) -> None:
    def weights(*callbacks: Callback) -> Any:
        seed_everything(0, verbose=False)

        class Hooked(Tiny):
            on_after_batch_transfer = Still.on_after_batch_transfer

        model = Hooked()
        trainer(tmp_path, *callbacks).fit(model, loader(shuffle=True), loader())
        return model.state_dict(), torch.get_rng_state()

    torch.testing.assert_close(weights(TopoLipCallback(probe_size=16)), weights(), rtol=0, atol=0)


class OwnGenerator(Augmented):
    """A data set with random generators of its own."""

    def __init__(self) -> None:
        self.torch = torch.Generator().manual_seed(0)
        self.others = {"numpy": np.random.default_rng(0), "python": random.Random(0)}

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        inputs = torch.rand(6, generator=self.torch) + self.others["numpy"].normal() + self.others["python"].random()
        return inputs.float(), index % 2


def test_data_with_generators_of_their_own_do_not_make_training_differ(tmp_path: Path) -> None:
    def weights(*callbacks: Callback) -> Any:
        seed_everything(0, verbose=False)
        model = Tiny()
        trainer(tmp_path, *callbacks).fit(model, DataLoader(OwnGenerator(), batch_size=8, shuffle=True))
        return model.state_dict()

    torch.testing.assert_close(weights(TopoLipCallback(probe_size=16)), weights(), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used to create")
def test_a_resumed_training_is_the_same(tmp_path: Path) -> None:
    def resumed(name: str, *callbacks: Callback) -> Any:
        for epochs, checkpoint in ((1, None), (3, str(tmp_path / name))):
            seed_everything(epochs, verbose=False)
            model, order = Tiny(), Order()
            run = trainer(tmp_path, order, *callbacks, max_epochs=epochs)
            run.fit(model, loader(shuffle=True), loader(), ckpt_path=checkpoint, **PLAIN_VALUES)
            run.save_checkpoint(tmp_path / name)
        states = [optimizer.state_dict() for optimizer in run.optimizers]
        return model.state_dict(), states, order.seen, torch.get_rng_state()

    callback = TopoLipCallback(probe_size=16)
    torch.testing.assert_close(resumed("with.ckpt", callback), resumed("without.ckpt"), rtol=0, atol=0)
    assert callback.history.epochs == [0, 1, 2, 3]


class Full(Logger):
    """A logger on a full disk."""

    name = version = "full"

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if any(key.startswith("topolip") for key in metrics):
            raise OSError(28, "No space left on device")

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def raises(module: Any, batch: Any) -> Any:
    module(batch[0])
    raise MemoryError("no more")


@pytest.mark.filterwarnings("ignore:A TopoLip analysis failed", "ignore:TopoLip could not write to Full")
@pytest.mark.filterwarnings("ignore:TopoLip cannot measure layer", "ignore:.* TopoLip analyses failed")
@pytest.mark.parametrize(
    ("options", "logger", "break_at"),
    [({"forward_fn": raises}, False, None), ({}, Full(), None), ({}, False, 2), ({"layers": ["layers.2"]}, False, 1)],
)
def test_a_fault_leaves_training_as_it_is(
    tmp_path: Path, options: dict[str, Any], logger: Any, break_at: int | None
) -> None:
    def trained(*callbacks: Callback) -> Any:
        seed_everything(0, verbose=False)
        model = Tiny(break_at)
        run = trainer(tmp_path, *callbacks, logger=logger, max_epochs=4)
        run.fit(model, loader(shuffle=True), loader())
        return model.state_dict(), [optimizer.state_dict() for optimizer in run.optimizers], torch.get_rng_state()

    torch.testing.assert_close(trained(TopoLipCallback(probe_size=16, **options)), trained(), rtol=0, atol=0)
