"""Modules, batches and callbacks as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchmetrics
from helpers.trainings import Tiny
from lightning import LightningModule
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout
from torch.utils.data import DataLoader


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
