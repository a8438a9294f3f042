"""Ordinary trainings: modules, data and options of a trainer, and what is expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from helpers.trainings import INPUTS, loader
from lightning import LightningModule
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.callbacks import StochasticWeightAveraging as SWA
from lightning.pytorch.utilities import CombinedLoader
from ordinary.modules import (
    AddsLoaders,
    Adversarial,
    Augments,
    Complex,
    Convolutional,
    Detector,
    DropsInEvaluation,
    Growing,
    Logs,
    LowRank,
    MixedTypes,
    Net,
    OwnBatch,
    OwnEMA,
    Padded,
    Remembers,
    StepsOnly,
    TakesBatch,
    TimeFirst,
    detection,
    mlp,
    tied,
)
from torch import nn
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
