"""An analysis neither logs nor changes anything, whatever the forward does."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
from helpers.trainings import Order, Tiny, loader, trainer
from lightning import LightningModule, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from lightning_topolip import TopoLipCallback, analyze
from lightning_topolip.lipschitz import layer_lipschitz


class Talkative(Tiny):
    """Speaks to its trainer in its forward, in every way that tutorials show."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.inner = TalkativePart() if way == "inner module" else None
        self.calls = 0
        self.outputs: list[Tensor] = []
        self.by_name: dict[str, list[int]] = defaultdict(list)
        self.memory = torch.zeros(6)
        self.generator = torch.Generator().manual_seed(0)
        self.accuracy = torchmetrics.MeanMetric()

    def forward(self, inputs: Tensor) -> Tensor:
        norm = inputs.norm()
        if self.way == "log":
            self.log("norm", norm, on_step=False, on_epoch=True)
        elif self.way == "log on step":
            self.log("norm", norm, on_step=True, on_epoch=True)
        elif self.way == "log_dict":
            self.log_dict({"norm": norm})
        elif self.inner is not None:
            self.inner(inputs)
        elif self.way == "logger" and self.logger:
            self.logger.log_metrics({"norm": norm.item()}, step=self.global_step)
        elif self.way == "stop":
            self.trainer.should_stop = not self.training and inputs.shape[0] == 12
            self.trainer.callback_metrics["norm"] = norm
        self.calls += 1
        self.outputs.append(norm.detach())
        self.by_name["norm"].append(self.calls)
        self.memory += inputs.detach().mean(0)
        self.accuracy.update(norm.detach())
        noise = torch.rand(1, generator=self.generator)
        return super().forward(inputs + noise + self.memory * 0.01 + self.calls * 1e-3)

    def on_train_epoch_end(self) -> None:
        self.log("mean", self.accuracy)


class TalkativePart(LightningModule):
    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training and len(inputs) == 12:
            self.trainer.should_stop = True
            self.print("stops")
        return inputs


WAYS = ["log", "log on step", "log_dict", "inner module", "logger", "stop"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{"every_n_steps": 2}, {"layers": "layers.*", "lipschitz": 4}])
def test_a_forward_that_speaks_to_the_trainer_is_not_heard_during_an_analysis(
    tmp_path: Path, way: str, options: dict[str, Any]
) -> None:
    def trained(name: str, *callbacks: Any) -> Any:
        seed_everything(0, verbose=False)
        model, order, logger = Talkative(way), Order(), CSVLogger(tmp_path, name=name)
        stop = EarlyStopping("mean", min_delta=1e9, patience=1)
        run = trainer(tmp_path, order, stop, *callbacks, max_epochs=4, logger=logger, log_every_n_steps=1)
        run.fit(model, loader(shuffle=True), loader(30))
        logged = {key: float(value) for key, value in run.callback_metrics.items() if not key.startswith("topolip")}
        python = model.calls, model.outputs, dict(model.by_name), model.memory, model.generator.get_state()
        return model.state_dict(), order.seen, logged, run.current_epoch, python

    callback = TopoLipCallback(probe_size=12, figures=False, **options)
    torch.testing.assert_close(trained("with", callback), trained("without"), rtol=0, atol=0)
    assert callback.history.last is not None
    assert callback.history.last.score > 0


def test_a_module_outside_of_a_trainer_is_not_changed_either() -> None:
    torch.manual_seed(0)
    model = Talkative("none")
    before = vars(model).copy()
    analyze(model, torch.randn(12, 6))
    layer_lipschitz(model, torch.randn(4, 6))
    assert vars(model) == before
    assert model.calls == 0
    assert not model.outputs
    assert not model.memory.any()
    assert not model.accuracy.update_called


class Normalises(Tiny):
    """Embeddings whose weights a forward scales in place."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 6, max_norm=0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs + self.embedding(inputs.argmax(1)))


class Momentum(Tiny):
    """A second network that follows the first in its forward, as in contrastive learning."""

    def __init__(self) -> None:
        super().__init__()
        self.follower = nn.Linear(6, 8).requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        for own, other in zip(self.follower.parameters(), self.layers[0].parameters(), strict=True):
            own.data = own.data * 0.9 + other.data * 0.1
        return super().forward(inputs) + self.follower(inputs).mean()


@pytest.mark.parametrize("kind", [Normalises, Momentum])
def test_weights_that_a_forward_changes_are_put_back(tmp_path: Path, kind: Any) -> None:
    def trained(*callbacks: Any) -> Any:
        seed_everything(0, verbose=False)
        model = kind()
        trainer(tmp_path, *callbacks, max_epochs=2).fit(model, loader(shuffle=True), loader())
        return model.state_dict()

    callback = TopoLipCallback("layers.*", probe_size=12, figures=False)
    torch.testing.assert_close(trained(callback), trained(), rtol=0, atol=0)
    assert callback.history.epochs == [0, 1, 2]


def test_an_attribute_that_two_modules_share_stays_shared() -> None:
    class Shares(nn.Module):
        def __init__(self, seen: list[int]) -> None:
            super().__init__()
            self.linear, self.seen = nn.Linear(6, 6), seen

        def forward(self, inputs: Tensor) -> Tensor:
            self.seen.append(len(self.seen))
            return self.linear(inputs) + len(self.seen)

    seen: list[int] = []
    first = analyze(nn.Sequential(*[Shares(seen) for _ in range(3)]), torch.zeros(4, 6) + torch.arange(4)[:, None])
    assert first.layers == ("<input>", "0", "1", "2")
    assert seen == []
