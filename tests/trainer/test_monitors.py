"""Wherever a monitor looks, it sees the current value, or a warning says why not."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.trainings import INPUTS, Tiny, loader, trainer
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn

from lightning_topolip import TopoLipCallback, analyze

OPTIONS: dict[str, Any] = {"probe": INPUTS[:16], "figures": False, "on_error": "raise"}
OLD = "looked at a TopoLip value at step"


def fit(folder: Path, *callbacks: Callback, model: Tiny | None = None, validate: bool = True, **options: Any) -> Any:
    seed_everything(0, verbose=False)
    run = trainer(folder, *callbacks, **options)
    run.fit(model or Tiny(), loader(), loader() if validate else None)
    return run


def score_of(path: Path) -> float:
    model = Tiny()
    model.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    return analyze(model, INPUTS[:16]).score


@pytest.mark.parametrize("watch", [{}, {"background": True}])
@pytest.mark.parametrize("validate", [True, False])
def test_checkpoints_by_steps_are_scored_by_their_own_weights(
    tmp_path: Path, watch: dict[str, Any], validate: bool
) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="topolip/score", every_n_train_steps=2, save_top_k=-1, filename="{step}")
    callback = TopoLipCallback(**OPTIONS, every_n_steps=2, **watch)
    fit(tmp_path, keep, callback, validate=validate, max_epochs=4)
    scores = {Path(path).name: float(score) for path, score in keep.best_k_models.items()}
    assert sorted(scores) == sorted(f"step={step}.ckpt" for step in range(2, 13, 2))
    for name, score in scores.items():
        assert score == pytest.approx(score_of(tmp_path / name))


class Manual(Tiny):
    """Two optimizers, and so two steps in each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self) -> Any:
        first, *rest = self.parameters()
        return [torch.optim.SGD([first], lr=0.1), torch.optim.SGD(rest, lr=0.1)]


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization")
def test_they_are_with_several_optimizers(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="topolip/score", every_n_train_steps=4, save_top_k=-1, filename="{step}")
    fit(tmp_path, TopoLipCallback(**OPTIONS, every_n_steps=4), keep, model=Manual())
    assert len(keep.best_k_models) == 4
    for path, score in keep.best_k_models.items():
        assert float(score) == pytest.approx(score_of(Path(path)))


class Looks(Callback):
    """A monitor of one's own, which stands first and looks at every hook that is named."""

    def __init__(self, *hooks: str) -> None:
        self.seen: dict[str, list[float]] = {hook: [] for hook in hooks}
        for hook in hooks:
            setattr(self, hook, lambda run, module, *args, hook=hook: self.look(hook, run))

    monitor = "topolip/score"

    def look(self, hook: str, run: Any) -> None:
        if not run.sanity_checking:
            self.seen[hook].append(float(run.callback_metrics["topolip/score"]))


def scores(callback: TopoLipCallback) -> list[float]:
    curves = [torch.tensor(list(curve.values())[1:]) for curve in callback.history.curves[1:]]
    return [float(curve.diff().abs().mean()) for curve in curves]


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(
    ("options", "hook"),
    [
        ({"validate": False}, "on_train_epoch_end"),
        ({"limit_val_batches": 0}, "on_train_epoch_end"),
        ({}, "on_train_epoch_end"),
        ({}, "on_validation_end"),
        ({"check_val_every_n_epoch": 2}, "on_train_epoch_end"),
        ({"val_check_interval": 2}, "on_train_epoch_end"),
    ],
)
def test_a_callback_that_stands_first_sees_the_present_epoch(
    tmp_path: Path, options: dict[str, Any], hook: str, background: bool
) -> None:
    looks, callback = Looks(hook), TopoLipCallback(**OPTIONS, background=background)
    fit(tmp_path, looks, callback, **options)
    assert callback.history.epochs == [0, 1, 2, 3]
    assert looks.seen[hook] == pytest.approx(scores(callback), rel=1e-5)


@pytest.mark.parametrize("watch", [{}, {"every_n_steps": 3}])
@pytest.mark.parametrize(("interval", "frequency"), [("epoch", 1), ("step", 3)])
def test_plateau_schedulers_see_the_present_value(
    tmp_path: Path, interval: str, frequency: int, watch: dict[str, Any]
) -> None:
    seen: list[float] = []

    class Plateau(Tiny):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            config = {"monitor": "topolip/score", "interval": interval, "frequency": frequency}
            return [optimizer], [config | {"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)}]

        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            seen.append(float(metric))
            super().lr_scheduler_step(scheduler, metric)

    callback = TopoLipCallback(**OPTIONS, **watch)
    fit(tmp_path, callback, model=Plateau())
    assert seen == pytest.approx(scores(callback), rel=1e-5)


def said(caught: Any, text: str) -> list[str]:
    return [str(warning.message) for warning in caught if text in str(warning.message)]


@pytest.mark.parametrize(
    ("monitor", "watch", "options", "steps"),
    [
        ("checkpoint", {"every_n_steps": 4}, {}, "step 6 that is of step 4"),
        ("checkpoint", {"every_n_steps": 3}, {}, "step 4 that is of step 3"),
        ("checkpoint", {"every_n_epochs": 2}, {}, "step 4 that is of step 0"),
        ("stopping", {"every_n_epochs": 2}, {"max_epochs": 4}, "step 3 that is of step 0"),
        ("stopping", {"every_n_epochs": 3}, {"max_epochs": 1}, "step 3 that is of step 0"),
        ("stopping", {}, {"val_check_interval": 0.34}, "step 1 that is of step 0"),
        ("plateau", {"every_n_epochs": 2}, {}, "step 3 that is of step 0"),
    ],
)
def test_a_look_at_an_older_value_is_said_once(
    tmp_path: Path, monitor: str, watch: dict[str, Any], options: dict[str, Any], steps: str
) -> None:
    class Plateau(Tiny):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "topolip/score"}}

    def run(folder: Path, watch: dict[str, Any]) -> None:
        keep = ModelCheckpoint(folder, monitor="topolip/score", every_n_train_steps=2, save_top_k=-1)
        stop = EarlyStopping("topolip/score", patience=99, check_finite=False)
        callbacks = {"checkpoint": [keep], "stopping": [stop], "plateau": []}[monitor]
        model = Plateau() if monitor == "plateau" else Tiny()
        fit(folder, TopoLipCallback(**OPTIONS, **watch), *callbacks, model=model, **options)

    with pytest.warns(UserWarning, match=OLD) as caught:
        run(tmp_path / "warned", watch)
    (sentence,) = said(caught, OLD)
    assert steps in sentence
    advice = re.search(r"Set TopoLipCallback\((every_n_\w+)=(\d+)\)", sentence)
    assert advice
    run(tmp_path / "advised", {advice[1]: int(advice[2])})


def test_a_skipped_analysis_is_named_as_the_reason(tmp_path: Path) -> None:
    stop = EarlyStopping("topolip/score", patience=99, check_finite=False)
    with pytest.warns(UserWarning, match=OLD) as caught:
        fit(tmp_path, TopoLipCallback(**OPTIONS, budget=1e-9), stop)
    (sentence,) = said(caught, OLD)
    assert "that of step 3 was skipped. Give it a larger budget or queue" in sentence


@pytest.mark.parametrize("watch", [{}, {"background": True}, {"every_n_steps": 3}])
@pytest.mark.parametrize("options", [{}, {"validate": False}, {"check_val_every_n_epoch": 2}])
def test_monitors_that_keep_pace_are_not_warned_of(
    tmp_path: Path, watch: dict[str, Any], options: dict[str, Any]
) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="topolip/score", every_n_epochs=1, save_top_k=-1)
    stop = EarlyStopping("topolip/score", patience=99, check_finite=False)
    other = ModelCheckpoint(tmp_path / "other", monitor="step", every_n_train_steps=1)
    fit(tmp_path, stop, keep, other, TopoLipCallback(**OPTIONS, **watch), **options)


class StopsLater(EarlyStopping):
    """A subclass, as people write them."""


@pytest.mark.parametrize("stopping", [EarlyStopping, StopsLater])
@pytest.mark.parametrize("key", ["topolip/score", "topolip_depth/layers.3", "topolip_epoch/layers.0"])
def test_a_monitor_that_would_stop_at_nan_is_warned_of(tmp_path: Path, stopping: Any, key: str) -> None:
    with pytest.warns(UserWarning, match=f"{stopping.__name__} monitors '{key}'.*check_finite=False"):
        fit(tmp_path, stopping(key, patience=99, strict=False), TopoLipCallback(**OPTIONS), max_epochs=1)


@pytest.mark.parametrize("key", ["val/loss", "topolip2/score", "topolipscore"])
def test_monitors_of_other_keys_are_left_alone(tmp_path: Path, key: str) -> None:
    run = fit(tmp_path, EarlyStopping(key, strict=False), TopoLipCallback(**OPTIONS), max_epochs=1)
    assert math.isfinite(run.callback_metrics["topolip/score"])
