"""The weights that are analysed are those that the validation saw, and those that a training leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import INPUTS, Tiny, events, loader, trainer
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from lightning_topolip import TopoLipCallback, analyze

pytestmark = pytest.mark.filterwarnings("ignore:.*WeightAveraging.*", "ignore:Swapping scheduler")
OPTIONS: dict[str, Any] = {"probe": INPUTS[:16], "figures": False, "on_error": "raise"}
Weights = dict[str, Tensor]


def weights_of(module: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


class Seen(Tiny):
    """Notes the weights of the last batch of every validation and test."""

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        if not norm:
            self.layers[1] = nn.Identity()
        self.seen: dict[int, Weights] = {}

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        if not self.trainer.sanity_checking:
            self.seen[self.trainer.global_step] = weights_of(self)


def curve(weights: Weights) -> list[float]:
    model = Seen(norm="layers.1.weight" in weights)
    model.load_state_dict(weights)
    return [float(drift) for drift in analyze(model, INPUTS[:16]).curve]


class HomeMade(Callback):
    """An average as people write it: weights change places for a validation, and for good at the end."""

    def __init__(self, start: str, end: str) -> None:
        setattr(self, start, self.swap)
        setattr(self, end, self.swap)
        self.average: Weights | None = None

    def on_train_batch_end(self, run: Any, module: Any, *args: Any) -> None:
        now = weights_of(module)
        before = self.average or now
        self.average = {k: 0.9 * before[k] + 0.1 * now[k] if now[k].is_floating_point() else now[k] for k in now}

    def swap(self, run: Any, module: Any) -> None:
        if self.average and not run.sanity_checking:
            now = weights_of(module)
            module.load_state_dict(self.average)
            self.average = now

    def on_train_end(self, run: Any, module: Any) -> None:
        assert self.average is not None
        module.load_state_dict(self.average)


AVERAGES: list[Callable[[], Callback]] = [
    lambda: EMAWeightAveraging(decay=0.5),
    WeightAveraging,
    lambda: HomeMade("on_validation_epoch_start", "on_validation_epoch_end"),
    lambda: HomeMade("on_validation_start", "on_validation_end"),
]


def fit(folder: Path, model: Seen, *callbacks: Callback, **options: Any) -> Any:
    seed_everything(0, verbose=False)
    run = trainer(folder, *callbacks, **options)
    run.fit(model, loader(shuffle=True), loader())
    return run


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("average", AVERAGES)
def test_the_weights_are_those_that_the_validation_saw(tmp_path: Path, average: Any, first: bool) -> None:
    model, callback, averaging = Seen(), TopoLipCallback(**OPTIONS), average()
    fit(tmp_path, model, *((callback, averaging) if first else (averaging, callback)))
    assert callback.history.epochs == [0, 1, 2, 3]
    for step, measured in zip(callback.history.optimizer_steps[1:], callback.history.curves[1:], strict=True):
        assert list(measured.values()) == curve(model.seen[step])
    assert list(callback.history.curves[-1].values()) == curve(weights_of(model))


@pytest.mark.parametrize("kind", ["several", "stream", "limited"])
def test_they_are_with_several_loaders_and_unknown_lengths(tmp_path: Path, kind: str) -> None:
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(loader().dataset)

    class Several(Seen):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            super().validation_step(batch, batch_idx)

    stream = torch.utils.data.DataLoader(Stream(), batch_size=16)
    data = {"several": [loader(), loader(20)], "stream": stream, "limited": loader()}[kind]
    model, callback = Several(), TopoLipCallback(**OPTIONS)
    run = trainer(tmp_path, EMAWeightAveraging(decay=0.5), callback, limit_val_batches=2 if kind == "limited" else 1.0)
    run.fit(model, loader(), data)
    for step, measured in zip(callback.history.optimizer_steps[1:], callback.history.curves[1:], strict=True):
        assert list(measured.values()) == curve(model.seen[step])


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("stage", ["validate", "test"])
def test_they_are_in_a_validation_or_test_alone(tmp_path: Path, stage: str, first: bool) -> None:
    name = "validation" if stage == "validate" else "test"
    model, other, callback = Seen(), Seen(), TopoLipCallback(**OPTIONS)
    average = HomeMade(f"on_{name}_epoch_start", f"on_{name}_epoch_end")
    average.average, before = weights_of(other), weights_of(model)
    run = trainer(tmp_path, *((callback, average) if first else (average, callback)))
    getattr(run, stage)(model, loader(), verbose=False)
    key = "topolip/score" if stage == "validate" else "topolip_test/score"
    other.load_state_dict(model.seen[0])
    assert float(run.callback_metrics[key]) == pytest.approx(analyze(other, INPUTS[:16]).score)
    torch.testing.assert_close(weights_of(model), before, rtol=0, atol=0)


class Restore(Callback):
    """Puts the first weights back at the end."""

    def on_train_start(self, run: Any, module: Any) -> None:
        self.first = weights_of(module)

    def on_train_end(self, run: Any, module: Any) -> None:
        module.load_state_dict(self.first)


def swa() -> Callback:
    return StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=1)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("replace", "norm"), [(swa, False), (swa, True), (Restore, True)])
@pytest.mark.parametrize("watch", [{}, {"every_n_steps": 2}])
def test_the_final_weights_are_analysed(
    tmp_path: Path, replace: Any, norm: bool, first: bool, watch: dict[str, Any]
) -> None:
    model, callback, averaging = Seen(norm), TopoLipCallback(**OPTIONS, **watch), replace()
    fit(tmp_path, model, *((callback, averaging) if first else (averaging, callback)))
    history = callback.history
    assert list(history.curves[-1].values()) == curve(weights_of(model))
    if not norm and not watch:
        assert history.epochs == [0, 1, 2, 3, 3]
        assert history.epoch_drifts[-1] == {}
        assert np.isfinite(list(history.epoch_drifts[-2].values())).all()


def test_the_final_weights_are_analysed_in_the_background(tmp_path: Path) -> None:
    model, callback = Seen(norm=False), TopoLipCallback(**OPTIONS, background=True)
    fit(tmp_path, model, callback, swa())
    assert callback.history.epochs == [0, 1, 2, 3, 3]
    assert list(callback.history.curves[-1].values()) == curve(weights_of(model))


def test_weights_that_stay_are_not_analysed_twice(tmp_path: Path) -> None:
    class Counts(Seen):
        """A buffer that counts validations is no weight."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("validations", torch.zeros(()))

        def on_validation_epoch_end(self) -> None:
            self.validations += 1

    callback = TopoLipCallback(**OPTIONS)
    fit(tmp_path, Counts(), callback)
    assert callback.history.epochs == [0, 1, 2, 3]


def test_the_final_weights_are_drawn_and_a_further_fit_goes_on(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    callback = TopoLipCallback(probe=INPUTS[:16], figures=True, on_error="raise")
    run = fit(tmp_path, Seen(norm=False), callback, swa(), logger=logger)
    images = {tag: [image.step for image in events(logger).Images(tag)] for tag in events(logger).Tags()["images"]}
    assert images["topolip/smoothness"] == [0, 2, 5, 8, 8]
    assert images["topolip/epoch_map"] == [2, 5, 8, 8]
    assert [event.step for event in events(logger).Scalars("topolip/epoch_drift")] == [2, 5, 8]
    restored = TopoLipCallback(**OPTIONS)
    restored.load_state_dict(callback.state_dict())
    again = trainer(tmp_path, restored, max_epochs=1)
    again.fit(run.lightning_module, loader(), loader())
    assert restored.history.epochs[:5] == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("average", [*AVERAGES[::2], swa, Restore])
def test_a_training_with_averages_is_the_same_with_and_without(tmp_path: Path, average: Any, first: bool) -> None:
    def trained(*watch: Callback) -> Any:
        model = Seen(norm=False)
        run = fit(tmp_path, model, *((*watch, average()) if first else (average(), *watch)))
        return weights_of(model), model.seen, run.optimizers[0].state_dict(), torch.get_rng_state()

    seed_everything(0, verbose=False)
    with_it = trained(TopoLipCallback(**OPTIONS))
    seed_everything(0, verbose=False)
    torch.testing.assert_close(with_it, trained(), rtol=0, atol=0)


def test_a_module_that_was_moved_away_is_analysed_on_the_device_of_the_training(tmp_path: Path) -> None:
    places: list[torch.device] = []

    class Moves(Seen):
        def to(self, *args: Any, **kwargs: Any) -> Any:
            places.append(args[0])
            return super().to(*args, **kwargs)

    callback = TopoLipCallback(**OPTIONS)
    run = fit(tmp_path, Moves(norm=False), callback, Restore())
    assert places[-2:] == [run.strategy.root_device, torch.device("cpu")]
    places.clear()
    fit(tmp_path, Moves(norm=False), TopoLipCallback(**OPTIONS))
    moved = len(places)
    places.clear()
    fit(tmp_path, Moves(norm=False))
    assert len(places) == moved
