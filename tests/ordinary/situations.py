"""Ordinary trainings, as people write them: modules, data and options of a trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torchmetrics
from helpers.loaders import FileRows as OpensAtFirstRead
from helpers.loaders import (
    IteratesInItsOwnWay,
    KeepsIterator,
    OneClassAfterTheOther,
    OnePass,
    OnlyInWorkers,
    Pipe,
    written,
)
from helpers.trainings import INPUTS, Tiny, loader
from lightning import LightningModule
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.callbacks import StochasticWeightAveraging as SWA
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout
from torch.utils.data import DataLoader

LABELS = (INPUTS.sum(1) > 0).long()
ROWS = list(zip(INPUTS, LABELS.tolist(), strict=True))


@dataclass
class Situation:
    """A training; ``says`` is the sentence that is expected instead of a curve or beside it."""

    model: Callable[[], LightningModule]
    train: Callable[[Path], Any] = lambda folder: loader(shuffle=True)
    val: Callable[[Path], Any] | None = lambda folder: loader()
    trainer: dict[str, Any] = field(default_factory=dict)
    before: Callable[[], list[Callback]] = list
    after: Callable[[], list[Callback]] = list
    options: dict[str, Any] = field(default_factory=dict)
    says: str = ""
    has_score: bool = True


class Net(Tiny):
    """A classifier around any network; `logits` says how the network is called."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layers = network  # type: ignore[assignment]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val/loss", cross_entropy(self(batch[0]), batch[1]), batch_size=len(batch[1]))


def mlp(width: int = 8, depth: int = 4) -> nn.Sequential:
    layers = [layer for _ in range(depth - 1) for layer in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), *layers, nn.Linear(width, 2))


class Convolutional(Net):
    def __init__(self) -> None:
        convolutions = [layer for _ in range(3) for layer in (nn.Conv1d(4, 4, 3, padding=1), nn.ReLU())]
        super().__init__(
            nn.Sequential(nn.Conv1d(1, 4, 3), *convolutions, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs[:, None])


class Padded(Net):
    """A transformer with torch's defaults and a padding mask."""

    def __init__(self) -> None:
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        super().__init__(nn.TransformerEncoder(layer, 3))
        self.embed, self.head = nn.Linear(1, 8), nn.Linear(8, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.layers(
            self.embed(inputs[..., None]), src_key_padding_mask=torch.arange(6) > (inputs[:, :1] > 0) + 3
        )
        return self.head(hidden[:, 0])


class TimeFirst(Net):
    def __init__(self) -> None:
        super().__init__(nn.ModuleList(nn.GRU(size, 5) for size in (1, 5, 5)))  # type: ignore[arg-type]
        self.head = nn.Linear(5, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs.T[..., None]
        for layer in self.layers:
            hidden = layer(hidden)[0]
        return self.head(hidden[-1])


class Logs(Net):
    """A forward that logs, and metrics in the step."""

    def __init__(self) -> None:
        super().__init__(mlp())
        self.accuracy = torchmetrics.MeanMetric()

    def forward(self, inputs: Tensor) -> Tensor:
        self.log("act/norm", inputs.norm(), on_step=True, on_epoch=True)
        self.accuracy(inputs.norm().detach())
        return super().forward(inputs)


class Adversarial(LightningModule):
    """Two networks, two optimizers, and a forward for noise."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = mlp(6), mlp(6)

    def forward(self, noise: Tensor) -> Tensor:
        return self.generator(noise.reshape(-1, 99))

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer, network in zip(self.optimizers(), (self.generator, self.discriminator), strict=True):
            optimizer.zero_grad()
            self.manual_backward(cross_entropy(network(batch[0]), batch[1]))
            optimizer.step()
        self.log("loss", 0.0)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.discriminator(batch[0]).mean() + self.generator(batch[0]).mean())

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.generator, self.discriminator)]


class StepsOnly(Net):
    forward = LightningModule.forward

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val/loss", cross_entropy(self.layers(batch[0]), batch[1]))


class Detector(Net):
    """Takes a list of images of many sizes."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(*[nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)) for _ in range(4)]))

    def forward(self, images: list[Tensor]) -> Tensor:
        return self.layers(torch.stack([image.mean((1, 2)) for image in images]))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), torch.stack([target["label"] for target in batch[1]]))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx), batch_size=len(batch[0]))


def detection(folder: Path) -> DataLoader[Any]:
    samples = [(torch.rand(3, 5 + k % 4, 6) + k % 2, {"label": torch.tensor(k % 2)}) for k in range(40)]
    return DataLoader(samples, batch_size=8, collate_fn=lambda batch: tuple(map(list, zip(*batch, strict=True))))  # type: ignore[arg-type]


class OwnBatch:
    def __init__(self, samples: list[Any]) -> None:
        self.grid = torch.linspace(0, 1, 5)
        self.x = torch.stack([x for x, _ in samples])
        self.y = torch.tensor([y for _, y in samples])

    def to(self, device: Any, non_blocking: bool = False) -> OwnBatch:
        self.grid, self.x, self.y = self.grid.to(device), self.x.to(device), self.y.to(device)
        return self


class TakesBatch(Net):
    def forward(self, batch: Any) -> Tensor:
        return self.layers(batch["x"] if isinstance(batch, dict) else batch.x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch), batch["y"] if isinstance(batch, dict) else batch.y)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx), batch_size=8)


class Growing(Net):
    """Gets one more layer in every epoch, in front of its head."""

    def __init__(self) -> None:
        super().__init__(nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)) for _ in range(3)))  # type: ignore[arg-type]
        self.head = nn.Linear(6, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = layer(inputs)
        return self.head(inputs)

    def on_train_epoch_start(self) -> None:
        self.layers.append(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)))  # type: ignore[operator]


class Complex(Net):
    def __init__(self) -> None:
        super().__init__(nn.Sequential(*[nn.Linear(6, 6, dtype=torch.complex64) for _ in range(4)]))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs.to(torch.complex64)).abs()


class LowRank(nn.Module):
    """A frozen layer and a correction of rank 1, by hand."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.frozen = nn.Linear(size, size).requires_grad_(False)
        self.down, self.up = nn.Parameter(torch.randn(size, 1)), nn.Parameter(torch.zeros(1, size))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.frozen(inputs) + inputs @ self.down @ self.up


def tied() -> nn.Sequential:
    layer = nn.Linear(6, 6)
    others = [nn.Linear(6, 6) for _ in range(3)]
    for other in others:
        other.weight = layer.weight
    return nn.Sequential(layer, *others, nn.Linear(6, 2))


class MixedTypes(Net):
    def __init__(self) -> None:
        layers = [
            nn.Linear(6, 6),
            nn.Linear(6, 6).double(),
            nn.Linear(6, 6).bfloat16(),
            nn.Linear(6, 6),
            nn.Linear(6, 2),
        ]
        super().__init__(nn.Sequential(*layers))

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = layer(inputs.to(layer.weight.dtype))
        return inputs


class DropsInEvaluation(Net):
    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = dropout(layer(inputs), 0.3, training=True)
        return inputs


class Augments(Net):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return (batch[0] + 0.1 * torch.randn_like(batch[0]), batch[1])


class Remembers(Net):
    """Counts its calls and keeps a bank of what it saw."""

    def __init__(self) -> None:
        super().__init__(mlp())
        self.calls, self.bank = 0, [torch.zeros(6)]

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        self.bank.append(inputs.detach().mean(0))
        return super().forward(inputs + 0.01 * self.calls + self.bank[-2])


class OwnEMA(Callback):
    """Puts averaged weights in for validations, as people write it."""

    def on_fit_start(self, trainer: Any, pl_module: LightningModule) -> None:
        self.mean = {name: weight.detach().clone() for name, weight in pl_module.named_parameters()}

    def on_train_batch_end(self, trainer: Any, pl_module: LightningModule, *_: Any) -> None:
        for name, weight in pl_module.named_parameters():
            self.mean[name].lerp_(weight.detach(), 0.2)

    def on_validation_epoch_start(self, trainer: Any, pl_module: LightningModule) -> None:
        self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: Any, pl_module: LightningModule) -> None:
        self._swap(pl_module)

    def _swap(self, pl_module: LightningModule) -> None:
        for name, weight in pl_module.named_parameters():
            weight.data, self.mean[name] = self.mean[name], weight.data


class AddsLoaders(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch["a"], batch_idx) + super().training_step(batch["b"], batch_idx)


def plain() -> Net:
    return Net(mlp())


def rows(**options: Any) -> Callable[[Path], Any]:
    return lambda folder: DataLoader(OneClassAfterTheOther(), batch_size=8, **options)


INSTEAD = r"runs `validation_step` of \w+ instead of its `forward`"
SITUATIONS: dict[str, Situation] = {
    "perceptron": Situation(plain),
    "convolutions": Situation(Convolutional),
    "padding mask": Situation(Padded),
    "time first": Situation(TimeFirst),
    "file opened at first read": Situation(
        plain, lambda folder: DataLoader(OpensAtFirstRead(written(folder)), 8, num_workers=1), None
    ),
    "loader keeps its iterator": Situation(plain, lambda folder: KeepsIterator(OneClassAfterTheOther(), batch_size=8)),
    "validation keeps its iterator": Situation(plain, val=lambda folder: KeepsIterator(ROWS, batch_size=8)),
    "loader of one's own": Situation(plain, val=lambda folder: IteratesInItsOwnWay(ROWS, batch_size=8)),
    "no loader": Situation(plain, lambda folder: Pipe(), lambda folder: Pipe()),
    "stream in workers": Situation(plain, val=lambda folder: DataLoader(OnlyInWorkers(), 8, num_workers=1)),
    "one pass": Situation(plain, lambda folder: DataLoader(OnePass(), 8), None, {"limit_train_batches": 3}),
    "sorted by class": Situation(plain, rows(shuffle=True), rows()),
    "forward that logs": Situation(Logs),
    "two optimizers": Situation(Adversarial, says=INSTEAD),
    "steps only": Situation(lambda: StepsOnly(mlp()), says=INSTEAD),
    "list of images": Situation(Detector, detection, detection),
    "batch class": Situation(
        lambda: TakesBatch(mlp()),
        *[lambda folder: DataLoader(ROWS, batch_size=8, collate_fn=OwnBatch)] * 2,
    ),
    "mapping with a grid": Situation(
        lambda: TakesBatch(mlp()),
        *[lambda folder: DataLoader(ROWS, batch_size=8, collate_fn=lambda samples: vars(OwnBatch(samples)))] * 2,
    ),
    "averaged weights, before": Situation(plain, before=lambda: [EMAWeightAveraging(decay=0.5)]),
    "averaged weights, after": Situation(plain, after=lambda: [EMAWeightAveraging(decay=0.5)]),
    "averaged weights, by hand": Situation(plain, before=lambda: [OwnEMA()]),
    "stochastic weight averaging": Situation(plain, before=lambda: [SWA(0.01, swa_epoch_start=1)]),
    "growing": Situation(Growing),
    "complex": Situation(Complex),
    "low rank": Situation(lambda: Net(nn.Sequential(*[LowRank(6) for _ in range(4)], nn.Linear(6, 2)))),
    "tied weights": Situation(lambda: Net(tied())),
    "mixed types": Situation(MixedTypes),
    "bfloat16": Situation(plain, trainer={"precision": "bf16-mixed"}),
    "dropout in evaluation": Situation(lambda: DropsInEvaluation(mlp())),
    "augments on the device": Situation(lambda: Augments(mlp())),
    "remembers": Situation(Remembers),
    "one layer": Situation(
        lambda: Net(nn.Sequential(nn.Linear(6, 2))), says="does not watch this training: .* two layers", has_score=False
    ),
    "several validation loaders": Situation(plain, val=lambda folder: [loader(), loader(16)]),
    "several training loaders": Situation(
        lambda: AddsLoaders(mlp()),
        lambda folder: CombinedLoader({"a": loader(), "b": loader()}),
        None,
        says=r"runs `training_step` of \w+ instead of its `forward`",
    ),
    "no validation": Situation(plain, val=None),
    "validation every second epoch": Situation(plain, trainer={"check_val_every_n_epoch": 2}),
    "validation within the epoch": Situation(plain, trainer={"val_check_interval": 0.34}),
    "overfit": Situation(plain, trainer={"overfit_batches": 1}),
    "profiler": Situation(plain, trainer={"profiler": "simple"}),
    "accumulated gradients": Situation(plain, trainer={"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}),
    "steps, not epochs": Situation(plain, trainer={"max_steps": 4, "max_epochs": -1}),
    "anomalies": Situation(plain, trainer={"detect_anomaly": True}),
    "no inference mode": Situation(plain, trainer={"inference_mode": False}),
    "reloaded": Situation(plain, trainer={"reload_dataloaders_every_n_epochs": 1}),
    "no sanity check": Situation(plain, trainer={"num_sanity_val_steps": 0}),
    "early stopping": Situation(
        plain, before=lambda: [EarlyStopping("topolip/score", patience=9)], val=None, says="check_finite=False"
    ),
    "checkpoints by step": Situation(
        plain,
        after=lambda: [ModelCheckpoint(monitor="topolip/score", every_n_train_steps=2)],
        trainer={"enable_checkpointing": True},
        options={"every_n_steps": 2},
    ),
}
