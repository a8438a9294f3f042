"""Resume, several fits, several callbacks, validation and test alone, interrupts."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.trainings import INPUTS, PLAIN_VALUES, Tiny, events, fit, loader, trainer
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from lightning_topolip import TopoLipCallback, analyze
from lightning_topolip.display.plots import smoothness_figure
from lightning_topolip.network.probe import take_probe
from lightning_topolip.topology.history import History
from lightning_topolip.topology.plain import settings_values
from lightning_topolip.topology.settings import Settings
from lightning_topolip.trainer.state import history_from_state

pytestmark = [
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used to create"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


def test_no_hook_stays_behind_when_training_is_interrupted(tmp_path: Path) -> None:
    class Interrupt(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            raise RuntimeError("stop")

    model = Tiny()
    with pytest.raises(RuntimeError, match="stop"):
        trainer(tmp_path, TopoLipCallback(probe_size=12), Interrupt()).fit(model, loader(), loader())
    assert not any(module._forward_hooks for module in model.modules())


def resumable(folder: Path, callback: TopoLipCallback, epochs: int, checkpoint: str | None = None) -> Tiny:
    seed_everything(3, verbose=False)
    model = Tiny()
    keep = ModelCheckpoint(folder, save_last=True, save_top_k=-1, filename="{epoch}")
    run = trainer(folder, callback, keep, max_epochs=epochs)
    run.fit(model, loader(), loader(), ckpt_path=checkpoint, **PLAIN_VALUES)
    return model


def test_a_resumed_run_continues_its_curves(tmp_path: Path) -> None:
    whole, first, second = (TopoLipCallback(probe_size=16) for _ in range(3))
    resumable(tmp_path / "whole", whole, 4)
    resumable(tmp_path / "parts", first, 2)
    resumable(tmp_path / "parts", second, 4, str(tmp_path / "parts" / "last.ckpt"))
    assert second.history.epochs == [0, 1, 2, 3, 4]
    assert second.history.curves[:3] == whole.history.curves[:3]
    assert [set(moved) for moved in second.history.epoch_drifts] == [set(moved) for moved in whole.history.epoch_drifts]
    assert second.history.epoch_drifts[:3] == whole.history.epoch_drifts[:3]
    assert second.history.curve_errors[:3] == whole.history.curve_errors[:3]
    assert np.isfinite([length.error for length in second.history.path_lengths.values()]).all()


def test_a_restored_history_continues_with_the_same_errors(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=16, figures=False)
    resumable(tmp_path, callback, 2)
    last = callback.history.last
    assert last is not None
    again = history_from_state(copy.deepcopy(callback.state_dict()), callback.subject.settings)
    moved, expected = again.add(3.0, last), callback.history.add(3.0, last)
    assert moved.keys() == expected.keys()
    for layer, drift in expected.items():
        assert moved[layer].value == drift.value == 0
        assert moved[layer].error == drift.error == 0
        assert again.path_lengths[layer].error == callback.history.path_lengths[layer].error > 0
    assert again.change is not None
    assert again.change.value == again.change.error == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2, this package reads version 3, whose drifts are per sample"),
        ({"last": {"report": {**settings_values(Settings()), "order": 7.0}}}, "was made with"),
        ({"last": 3}, "starts new ones"),
    ],
)
def test_a_state_that_does_not_fit_starts_new_curves_with_a_warning(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    callback = TopoLipCallback(probe_size=16)
    fit(tmp_path, callback, max_epochs=1)
    other = TopoLipCallback(probe_size=16)
    with pytest.warns(UserWarning, match=f"curves of the checkpoint and starts new ones: .*{message}|{message}"):
        other.load_state_dict({**callback.state_dict(), **change})
    assert other.history.epochs == []


def test_a_second_fit_of_another_model_starts_new_curves(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=16, figures=False)
    fit(tmp_path, callback, max_epochs=2)
    fit(tmp_path, callback, max_epochs=1)
    assert callback.history.epochs == [0, 1]


def test_one_trainer_that_fits_on_continues(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=16, figures=False)
    run = fit(tmp_path, callback, max_epochs=2)
    run.fit_loop.max_epochs = 3
    run.fit(run.lightning_module, loader(), loader())
    assert callback.history.epochs == [0, 1, 2, 3]


def test_two_callbacks_need_two_prefixes(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"`callback\.state_key` must be unique among all callbacks"):
        trainer(tmp_path, TopoLipCallback(), TopoLipCallback(layers="layers.0"))
    raw = TopoLipCallback(probe_size=12, view="raw", prefix="raw", figures=False)
    run = trainer(tmp_path, TopoLipCallback(probe_size=12, figures=False), raw, max_epochs=1)
    run.fit(Tiny(), loader(), loader())
    assert {"topolip/score", "raw/score"} <= set(run.callback_metrics)
    assert run.callback_metrics["topolip/score"] != run.callback_metrics["raw/score"]


def test_a_probe_of_another_size_starts_new_curves(tmp_path: Path) -> None:
    first = TopoLipCallback(probe_size=12, figures=False)
    run = fit(tmp_path, first, max_epochs=2)
    first.probe_size = 20
    run.fit_loop.max_epochs = 4
    with pytest.warns(UserWarning, match="starts new ones: the probe had 12 samples and has 20"):
        run.fit(run.lightning_module, loader(), loader())
    assert first.history.epochs == [3, 4]


class SaveAt(Callback):
    """Saves a checkpoint in the middle of an epoch."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended")
@pytest.mark.parametrize("cadence", [{}, {"every_n_steps": 2}])
def test_a_run_resumed_in_the_middle_of_an_epoch_continues_its_curves(tmp_path: Path, cadence: dict[str, int]) -> None:
    def run(callback: TopoLipCallback, epochs: int, *others: Callback, checkpoint: Path | None = None) -> None:
        seed_everything(3, verbose=False)
        fitted = trainer(tmp_path, callback, *others, max_epochs=epochs)
        fitted.fit(Tiny(), loader(), loader(), ckpt_path=checkpoint, **PLAIN_VALUES)

    whole, rest = (TopoLipCallback(probe_size=16, figures=False, **cadence) for _ in range(2))
    run(whole, 3, SaveAt(5, tmp_path / "middle.ckpt"))
    run(rest, 3, checkpoint=tmp_path / "middle.ckpt")
    assert rest.history.epochs == whole.history.epochs
    assert rest.history.optimizer_steps == whole.history.optimizer_steps
    kept = sum(step <= 5 for step in whole.history.optimizer_steps)
    assert kept == (2 if not cadence else 3)
    assert rest.history.curves[:kept] == whole.history.curves[:kept]
    assert rest.history.epoch_drifts[:kept] == whole.history.epoch_drifts[:kept]
    assert [set(moved) for moved in rest.history.epoch_drifts] == [set(moved) for moved in whole.history.epoch_drifts]


def test_monitors_know_the_last_values_after_a_resume(tmp_path: Path) -> None:
    class Seen(Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                seen.append(float(trainer.callback_metrics["topolip/score"]))

    seen: list[float] = []
    first, second = (TopoLipCallback(probe_size=16, figures=False, every_n_epochs=3) for _ in range(2))
    resumable(tmp_path, first, 1)
    stop = trainer(tmp_path, second, Seen(), max_epochs=2)
    stop.fit(Tiny(), loader(), loader(), ckpt_path=str(tmp_path / "last.ckpt"), **PLAIN_VALUES)
    assert second.history.epochs == [0, 2]
    assert seen == [pytest.approx(score_of(second, 0))]


def score_of(callback: TopoLipCallback, index: int) -> float:
    drifts = np.array(list(callback.history.curves[index].values())[1:])
    return float(np.abs(np.diff(drifts)).mean())


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_validation_and_test_alone_analyse_once(tmp_path: Path, stage: str) -> None:
    logger = CSVLogger(tmp_path)
    callback = TopoLipCallback(probe_size=16)
    model = Tiny()
    run = trainer(tmp_path, callback, logger=logger)
    (results,) = getattr(run, stage)(model, loader(), verbose=False)
    key = "topolip/score" if stage == "validate" else "topolip_test/score"
    assert run.callback_metrics[key] == pytest.approx(analyze(model, take_probe(loader(), 16)).score)
    assert key in results
    assert callback.history.epochs == []
    assert not any(module._forward_hooks for module in model.modules())


def test_a_test_after_a_fit_leaves_its_curves_alone(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=16, figures=False)
    run = fit(tmp_path, callback, max_epochs=2)
    curves = list(callback.history.curves)
    run.test(run.lightning_module, loader(), verbose=False)
    run.validate(run.lightning_module, loader(), verbose=False)
    assert callback.history.curves == curves
    assert run.callback_metrics["topolip/score"] == pytest.approx(score_of(callback, -1))


@pytest.mark.parametrize("options", [{}, {"background": True}, {"every_n_steps": 4}, {"every_n_epochs": 5}])
def test_after_a_fit_the_last_numbers_are_there(tmp_path: Path, options: dict[str, Any]) -> None:
    callback = TopoLipCallback(probe_size=16, figures=False, **options)
    run = fit(tmp_path, callback, max_epochs=3)
    assert run.callback_metrics["topolip/score"] == pytest.approx(callback.history.last.score)


def test_figures_outside_of_a_fit_have_a_place_and_a_title_of_their_own(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    run = fit(tmp_path, TopoLipCallback(probe_size=16), logger=logger, max_epochs=2)
    of_fit = {tag: len(events(logger).Images(tag)) for tag in events(logger).Tags()["images"]}
    run.validate(run.lightning_module, loader(), verbose=False)
    run.test(run.lightning_module, loader(), verbose=False)
    shown = {tag: len(events(logger).Images(tag)) for tag in events(logger).Tags()["images"]}
    outside = [f"topolip_{stage}/{name}" for stage in ("validate", "test") for name in ("smoothness", "diagrams")]
    assert shown == of_fit | dict.fromkeys(outside, 1)
    alone = History()
    alone.add(math.nan, analyze(Tiny(), INPUTS))
    assert "epoch" not in smoothness_figure(alone).get_suptitle()


def test_a_keyboard_interrupt_leaves_no_hook_and_keeps_the_curves(tmp_path: Path) -> None:
    class Interrupt(Callback):
        def on_train_epoch_start(self, trainer: Any, *args: Any) -> None:
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    callback, model = TopoLipCallback(probe_size=16, figures=False), Tiny()
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        trainer(tmp_path, callback, Interrupt()).fit(model, loader(), loader())
    assert callback.history.epochs == [0, 1]
    assert not any(module._forward_hooks for module in model.modules())


def test_several_callbacks_keep_their_own_curves_and_states(tmp_path: Path) -> None:
    deep = TopoLipCallback(layers="layers.*", probe_size=16, figures=False, prefix="deep")
    few = TopoLipCallback(layers=["layers.0", "layers.3", "layers.5"], probe_size=16, figures=False, prefix="few")
    keep = ModelCheckpoint(tmp_path, save_last=True)
    run = trainer(tmp_path, deep, few, keep, max_epochs=1)
    run.fit(Tiny(), loader(), loader())
    assert (len(deep.history.curves[0]), len(few.history.curves[0])) == (7, 3)
    assert {"deep/score", "few/score"} <= set(run.callback_metrics)
    resumed = [
        TopoLipCallback(layers=c.subject.layers, probe_size=16, figures=False, prefix=c.prefix) for c in (few, deep)
    ]
    again = trainer(tmp_path, *resumed, max_epochs=2)
    again.fit(Tiny(), loader(), loader(), ckpt_path=str(tmp_path / "last.ckpt"), **PLAIN_VALUES)
    assert resumed[1].history.curves[:2] == deep.history.curves
    assert resumed[0].history.curves[:2] == few.history.curves


def test_a_checkpoint_of_another_layer_list_is_not_continued(tmp_path: Path) -> None:
    class Wide(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = self.layers
            self.layers = nn.Sequential()

        def forward(self, inputs: Any) -> Any:
            return self.blocks(inputs)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self(batch[0])

    callback = TopoLipCallback(probe_size=16, figures=False)
    fit(tmp_path, callback, max_epochs=1)
    other = TopoLipCallback(probe_size=16, figures=False)
    other.load_state_dict(callback.state_dict())
    with pytest.warns(UserWarning, match=r"the layers were \['<input>', 'layers.0'.* and are \['<input>', 'blocks.0'"):
        trainer(tmp_path, other, max_epochs=2).fit(Wide(), loader(), loader())
    assert "blocks.3" in other.history.curves[0]


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_a_checkpoint_that_is_tested_does_not_rewind_the_curves(tmp_path: Path, stage: str) -> None:
    callback = TopoLipCallback(probe_size=16, figures=False)
    keep = ModelCheckpoint(tmp_path, save_top_k=-1, filename="{epoch}")
    run = trainer(tmp_path, callback, keep, max_epochs=3)
    run.fit(Tiny(), loader(), loader())
    of_fit = list(callback.history.curves)
    data = DataLoader(INPUTS, batch_size=16) if stage == "predict" else loader()
    getattr(run, stage)(Tiny(), data, ckpt_path=str(tmp_path / "epoch=0.ckpt"), **PLAIN_VALUES)
    assert callback.history.curves == of_fit
    fit(tmp_path, callback, max_epochs=1)
    assert callback.history.epochs == [0, 1]
    assert callback.history.curves[1] not in of_fit


def test_a_fit_after_an_error_counts_its_epochs_once(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == 5 and not stopped:
                stopped.append(True)
                raise RuntimeError("stop")

    stopped: list[bool] = []
    callback, model = TopoLipCallback(probe_size=16, figures=False), Tiny()
    run = trainer(tmp_path, callback, Stop(), max_epochs=3)
    with pytest.raises(RuntimeError, match="stop"):
        run.fit(model, loader(), loader())
    run.fit(model, loader(), loader())
    assert callback.history.epochs == [0, 1, 2, 3]


class Stream(IterableDataset[Any]):
    """Twelve samples, whose number nobody knows beforehand."""

    def __iter__(self) -> Iterator[Any]:
        return ((inputs, int(inputs.sum() > 0)) for inputs in INPUTS[:12])


@pytest.mark.parametrize("validate", [True, False])
def test_streams_are_analysed_every_epoch_also_when_resumed(tmp_path: Path, validate: bool) -> None:
    def run(callback: TopoLipCallback, epochs: int, checkpoint: str | None = None) -> None:
        keep = ModelCheckpoint(tmp_path, save_last=True)
        fitted = trainer(tmp_path, callback, keep, max_epochs=epochs)
        stream = DataLoader(Stream(), batch_size=4)
        fitted.fit(Tiny(), stream, loader() if validate else None, ckpt_path=checkpoint, **PLAIN_VALUES)

    first, second = (TopoLipCallback(probe=INPUTS[:12], figures=False, halvings=0) for _ in range(2))
    run(first, 2)
    run(second, 4, str(tmp_path / "last.ckpt"))
    assert first.history.epochs == [0, 1, 2]
    assert second.history.epochs == [0, 1, 2, 3, 4]


def test_a_forward_that_works_in_place_is_validated_alone(tmp_path: Path) -> None:
    class InPlace(Tiny):
        def forward(self, inputs: Any) -> Any:
            return super().forward(inputs.mul_(0.5))

    run = trainer(tmp_path, TopoLipCallback(probe_size=16, on_error="raise"))
    run.validate(InPlace(), loader(), verbose=False)
    assert np.isfinite(float(run.callback_metrics["topolip/score"]))


def test_a_checkpoint_of_other_settings_says_why_it_is_not_continued(tmp_path: Path) -> None:
    resumable(tmp_path, TopoLipCallback(probe_size=16, figures=False), 1)
    other = TopoLipCallback(probe_size=16, figures=False, order=1.0)
    with pytest.warns(UserWarning, match=r"its state was made with order=2\.0, the callback has order=1\.0; use"):
        resumable(tmp_path, other, 2, str(tmp_path / "last.ckpt"))
    assert other.history.epochs == [1, 2]
