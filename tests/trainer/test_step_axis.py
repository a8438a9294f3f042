"""The curves are logged at the steps at which Lightning logs the user's own metrics."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.trainings import INPUTS, PLAIN_VALUES, Tiny, events, loader, trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn

from lightning_topolip import TopoLipCallback

pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
OPTIONS: dict[str, Any] = {"probe": INPUTS[:16], "figures": False, "halvings": 0, "on_error": "raise"}


class Manual(Tiny):
    """Steps with several optimizers in each batch, and logs metrics of its own."""

    def __init__(self, optimizers: int, every: int = 1) -> None:
        super().__init__()
        self.automatic_optimization = optimizers == 0
        self.number_of_optimizers, self.every = optimizers, every

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train/loss", loss)
        if not self.automatic_optimization:
            self.zero_grad()
            self.manual_backward(loss)
            optimizers = self.optimizers()
            for index, optimizer in enumerate(optimizers if isinstance(optimizers, list) else [optimizers]):
                if index == 0 or batch_idx % self.every == 0:
                    optimizer.step()
        return loss

    def configure_optimizers(self) -> Any:
        parameters = list(self.parameters())
        count = max(self.number_of_optimizers, 1)
        return [torch.optim.SGD(parameters[start::count], lr=1e-3) for start in range(count)]


def steps_in(logger: CSVLogger, key: str) -> list[int]:
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        return sorted(int(row["step"]) for row in csv.DictReader(file) if row.get(key))


RUNS: list[tuple[int, dict[str, Any]]] = [
    (0, {}),
    (0, {"accumulate_grad_batches": 2}),
    (0, {"accumulate_grad_batches": 2, "val_check_interval": 1}),
    (1, {}),
    (2, {}),
    (3, {}),
    (2, {"val_check_interval": 1}),
    (2, {"check_val_every_n_epoch": 2}),
]


@pytest.mark.parametrize(("optimizers", "options"), RUNS)
@pytest.mark.parametrize("resumed", [False, True])
def test_epochs_are_logged_where_the_validation_is(
    tmp_path: Path, optimizers: int, options: dict[str, Any], resumed: bool
) -> None:
    watch = {"every_n_steps": 1} if options.get("val_check_interval") else {}
    callback, logger, checkpoint = TopoLipCallback(**OPTIONS, **watch), CSVLogger(tmp_path), None
    if resumed:
        keep = ModelCheckpoint(tmp_path, save_last=True)
        trainer(tmp_path, TopoLipCallback(**OPTIONS, **watch), keep, max_epochs=2, **options).fit(
            Manual(optimizers), loader(), loader()
        )
        checkpoint = tmp_path / "last.ckpt"
    run = trainer(tmp_path, callback, logger=logger, max_epochs=4, log_every_n_steps=1, **options)
    run.fit(Manual(optimizers), loader(), loader(), ckpt_path=checkpoint, **PLAIN_VALUES)
    own, ours = steps_in(logger, "val/loss"), steps_in(logger, "topolip/score")
    without = {step for step in (2, 8) if "check_val_every_n_epoch" in options}
    assert set(own) <= set(ours) <= {*own, *without, 0}
    per_batch = max(optimizers, 1)
    assert callback.history.optimizer_steps[-1] == run.global_step == per_batch * (own[-1] + 1)


@pytest.mark.parametrize(("optimizers", "background"), [(0, False), (1, False), (2, False), (3, False), (2, True)])
def test_steps_are_logged_where_the_training_loss_is(tmp_path: Path, optimizers: int, background: bool) -> None:
    logger = TensorBoardLogger(tmp_path)
    callback = TopoLipCallback(**OPTIONS, every_n_steps=max(optimizers, 1), background=background)
    trainer(tmp_path, callback, logger=logger, max_epochs=2, log_every_n_steps=1).fit(Manual(optimizers), loader())
    found = events(logger)
    own = [event.step for event in found.Scalars("train/loss")]
    assert own == list(range(6))
    assert [event.step for event in found.Scalars("topolip/score")] == [0, *own]


def test_optimizers_that_step_at_different_times(tmp_path: Path) -> None:
    callback, logger = TopoLipCallback(**OPTIONS), CSVLogger(tmp_path)
    trainer(tmp_path, callback, logger=logger).fit(Manual(2, every=2), loader(), loader())
    assert steps_in(logger, "topolip/score")[1:] == steps_in(logger, "val/loss") == [2, 5, 8]
    assert callback.history.optimizer_steps == [0, 5, 10, 15]
