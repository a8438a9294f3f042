"""The probe within a trainer: from any loader, without a trace in the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.loaders import (
    Counted,
    CountingOrder,
    FileRows,
    IteratesInItsOwnWay,
    KeepsIterator,
    OneClassAfterTheOther,
    OnePass,
    OnlyInWorkers,
    Pipe,
    Resumable,
    written,
)
from helpers.trainings import Order, Tiny, loader, trainer
from lightning import seed_everything
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

from lightning_topolip import TopoLipCallback
from lightning_topolip.network.probe import take_probe

ROWS = OneClassAfterTheOther
LOADERS: dict[str, Any] = {
    "file, fork": lambda folder: DataLoader(FileRows(written(folder)), batch_size=8, num_workers=2, shuffle=True),
    "counted": lambda folder: DataLoader(Counted(), batch_size=8, sampler=CountingOrder()),
    "keeps its iterator": lambda folder: KeepsIterator(ROWS(), batch_size=8, shuffle=True),
    "keeps its workers": lambda folder: KeepsIterator(ROWS(), batch_size=8, num_workers=1, persistent_workers=True),
    "resumable": lambda folder: Resumable(ROWS(), batch_size=8),
    "only in workers": lambda folder: DataLoader(OnlyInWorkers(), batch_size=8, num_workers=1),
    "one pass": lambda folder: DataLoader(OnePass(), batch_size=8),
    "no loader": lambda folder: Pipe(),
}


@pytest.mark.filterwarnings("ignore:Your `IterableDataset` has `__len__`", "ignore:Your `val_dataloader`'s sampler")
@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("validate", [True, False])
def test_training_from_any_loader_is_bit_identical_and_watched(tmp_path: Path, kind: str, validate: bool) -> None:
    def trained(*callbacks: Any) -> Any:
        seed_everything(3, verbose=False)
        model, order = Tiny(), Order()
        run = trainer(tmp_path, order, *callbacks, max_epochs=2, limit_train_batches=4, limit_val_batches=4)
        run.fit(model, LOADERS[kind](tmp_path), LOADERS[kind](tmp_path) if validate else None)
        return model.state_dict(), [optimizer.state_dict() for optimizer in run.optimizers], order.seen

    callback = TopoLipCallback(probe_size=16)
    torch.testing.assert_close(trained(callback), trained(), rtol=0, atol=0)
    assert callback.history.epochs[-2:] == [1, 2]
    assert callback.history.last is not None
    assert callback.history.last.points == 16
    assert callback.history.last.score > 0


def watched(callback: TopoLipCallback, tmp_path: Path, *loaders: Any, **options: Any) -> list[torch.Tensor]:
    """Fit and return the inputs of every analysis."""
    probes: list[torch.Tensor] = []

    def forward(module: Any, batch: Any) -> Any:
        while isinstance(batch, (list, tuple, dict)):
            batch = batch["a"] if isinstance(batch, dict) else batch[0]
        probes.append(batch.clone())
        return module(batch)

    object.__setattr__(callback.subject, "forward_fn", forward)
    trainer(tmp_path, callback, max_epochs=1, **options).fit(Tiny(), *loaders)
    return probes


def test_delivered_batches_are_those_of_the_validation(tmp_path: Path) -> None:
    probes = watched(TopoLipCallback(probe_size=20), tmp_path, loader(), IteratesInItsOwnWay(ROWS(), batch_size=8))
    assert torch.equal(probes[-1], torch.stack([ROWS()[index][0] for index in range(20)]))


def test_a_full_sanity_check_is_enough_for_an_analysis_before_training(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=16)
    watched(callback, tmp_path, loader(), KeepsIterator(ROWS(), batch_size=8))
    assert callback.history.epochs == [0, 1]
    callback = TopoLipCallback(probe_size=17)
    watched(callback, tmp_path, loader(), KeepsIterator(ROWS(), batch_size=8))
    assert callback.history.epochs == [1]
    assert callback.history.last is not None
    assert callback.history.last.points == 17


def test_fewer_samples_than_wanted_are_taken_when_the_validation_is_over(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=1000)
    watched(callback, tmp_path, loader(), KeepsIterator(ROWS(), batch_size=8))
    assert callback.history.last is not None
    assert callback.history.last.points == 64


def test_several_training_loaders_give_their_joint_batch(tmp_path: Path) -> None:
    class Both(Tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch["a"], batch_idx) + super().training_step(batch["b"], batch_idx)

    seen: list[Any] = []

    def forward(module: Any, batch: Any) -> Any:
        seen.append(batch)
        return module(batch["a"][0])

    callback = TopoLipCallback(probe_size=20, forward_fn=forward)
    run = trainer(tmp_path, callback, max_epochs=1)
    run.fit(Both(), CombinedLoader({"a": loader(), "b": loader()}, "max_size_cycle"))
    assert set(seen[-1]) == {"a", "b"}
    assert callback.history.last is not None
    assert callback.history.last.points == 20


@pytest.mark.parametrize("wrap", [CombinedLoader, lambda loaders: loaders])
def test_of_several_loaders_for_the_probe_the_first_is_read(tmp_path: Path, wrap: Any) -> None:
    probes = watched(TopoLipCallback(probe=wrap([loader(), loader(16)]), probe_size=20), tmp_path, loader())
    assert torch.equal(probes[-1], take_probe(loader(), 20)[0])


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_validation_and_test_alone_use_what_they_are_given(tmp_path: Path, stage: str) -> None:
    run = trainer(tmp_path, TopoLipCallback(probe_size=20))
    getattr(run, stage)(Tiny(), Pipe(), verbose=False)
    key = "topolip/score" if stage == "validate" else "topolip_test/score"
    assert run.callback_metrics[key] > 0
