"""The callback in real trainings: what it logs, when, and what it says."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import INPUTS, Tiny, events, fit, loader, trainer
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_topolip import TopoLipCallback
from lightning_topolip.network.probe import take_probe
from lightning_topolip.topology.epoch_drifts import epoch_drifts

_MEASURED_TWICE = ("epoch_drift", "epoch_drift_error", "path_length", "path_length_error", "change", "change_z")
FROM_THE_SECOND = {f"topolip/{name}" for name in (*_MEASURED_TWICE, "overhead")}
ESTIMATES = ("score", "speed_mean", "speed_max", "input_drift")
HEADLINE = FROM_THE_SECOND | {
    f"topolip/{name}" for name in (*ESTIMATES, *(f"{name}_error" for name in ESTIMATES), "noise", "signal", "seconds")
}


def test_every_documented_key_and_figure_at_every_epoch(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    run = fit(tmp_path, TopoLipCallback(probe_size=20, figures=True), logger=logger, log_every_n_steps=1)
    found = events(logger)
    layers = ["layers.0", "layers.3", "layers.5"]
    keys = HEADLINE | {f"topolip_{axis}/{layer}" for axis in ("depth", "epoch") for layer in layers}
    tags = {tag for tag in found.Tags()["scalars"] if tag.startswith("topolip")}
    assert tags == keys
    assert {key for key in run.callback_metrics if key.startswith("topolip")} == keys
    for key in keys:
        steps = [event.step for event in found.Scalars(key)]
        first_has_none = key in FROM_THE_SECOND or key.startswith("topolip_epoch/")
        assert steps == ([2, 5, 8] if first_has_none else [0, 2, 5, 8])
        assert all(math.isfinite(event.value) for event in found.Scalars(key))
    images = {tag: [event.step for event in found.Images(tag)] for tag in found.Tags()["images"]}
    assert images == {
        "topolip/smoothness": [0, 2, 5, 8],
        "topolip/diagrams": [0, 2, 5, 8],
        "topolip/epoch_map": [2, 5, 8],
    }


def test_the_values_are_those_of_analyze(tmp_path: Path) -> None:
    from lightning_topolip import analyze

    callback = TopoLipCallback(probe_size=20)
    run = fit(tmp_path, callback)
    report = analyze(run.lightning_module, take_probe(loader(), 20))
    assert callback.history.last is not None
    assert callback.history.last.curve.tolist() == report.curve.tolist()
    assert float(run.callback_metrics["topolip/score"]) == pytest.approx(report.score)
    for name in ("score_error", "speed_mean_error", "speed_max_error", "input_drift_error", "noise", "signal"):
        assert float(run.callback_metrics[f"topolip/{name}"]) == pytest.approx(getattr(report, name))


def test_the_change_and_the_path_are_those_of_the_reports(tmp_path: Path) -> None:
    """Reports of the saved weights give the change, its paired error and the length of the path."""
    from lightning_topolip import analyze, compare

    callback, reports = TopoLipCallback(probe_size=20, figures=False), []

    class Copies(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            reports.append(analyze(pl_module, take_probe(loader(), 20)))

        on_train_epoch_end = on_train_start

    run = trainer(tmp_path, callback, Copies())
    run.fit(Tiny(), loader(shuffle=True), loader())
    comparison = compare(reports[-1], reports[-2]).differences["score"]
    assert float(run.callback_metrics["topolip/change"]) == pytest.approx(float(comparison.value))
    assert float(run.callback_metrics["topolip/change_z"]) == pytest.approx(comparison.z, rel=1e-4)
    moved = [epoch_drifts(*pair) for pair in itertools.pairwise(reports)]
    lengths = {layer: sum(float(drifts[layer].value) for drifts in moved) for layer in moved[0]}
    found = {layer: float(length.value) for layer, length in callback.history.path_lengths.items()}
    assert found == pytest.approx(lengths)
    mean = sum(lengths.values()) / len(lengths)
    assert float(run.callback_metrics["topolip/path_length"]) == pytest.approx(mean)
    parts = np.mean([sum(drifts[layer].parts for drifts in moved) for layer in lengths], axis=0)
    error = math.sqrt(np.mean((parts[:, 0] - parts[:, 1]) ** 2)) / 2
    assert float(run.callback_metrics["topolip/path_length_error"]) == pytest.approx(error)


@pytest.mark.parametrize(
    ("options", "validate", "epochs"),
    [
        ({}, True, [0, 1, 2, 3, 4, 5]),
        ({}, False, [0, 1, 2, 3, 4, 5]),
        ({"check_val_every_n_epoch": 2}, True, [0, 1, 2, 3, 4, 5]),
        ({"val_check_interval": 0.34}, True, [0, 1, 2, 3, 4, 5]),
        ({"limit_val_batches": 0}, True, [0, 1, 2, 3, 4, 5]),
        ({"every": 2}, True, [0, 2, 4, 5]),
        ({"every": 2, "check_val_every_n_epoch": 3}, True, [0, 2, 4, 5]),
        ({"max_steps": 7, "val_check_interval": 2}, True, [0, 1, 2, 2 + 1 / 3]),
        ({"fast_dev_run": True}, True, [0, 1]),
    ],
)
def test_when_it_analyses(tmp_path: Path, options: dict[str, Any], validate: bool, epochs: list[int]) -> None:
    callback = TopoLipCallback(probe_size=12, every_n_epochs=options.pop("every", 1), figures=False, halvings=0)
    fit(tmp_path, callback, validate=validate, max_epochs=5, **options)
    assert callback.history.epochs == epochs


def test_other_callbacks_can_monitor_the_score(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=12, figures=False, halvings=0)
    stop = EarlyStopping(monitor="topolip/score", patience=0, min_delta=1e9, check_finite=False)
    keep = ModelCheckpoint(tmp_path, monitor="topolip/speed_max", filename="{epoch}")
    run = trainer(tmp_path, stop, keep, callback, max_epochs=5)
    run.fit(Tiny(), loader(), loader())
    assert run.current_epoch == 2
    assert Path(keep.best_model_path).exists()
    assert float(keep.best_model_score) in [pytest.approx(max(list(c.values())[1:])) for c in callback.history.curves]


@pytest.mark.filterwarnings("ignore:.* TopoLip analyses failed")
def test_nan_activations_are_nan_with_a_warning_and_training_goes_on(tmp_path: Path) -> None:
    def weights(*callbacks: Callback) -> Any:
        seed_everything(0, verbose=False)
        model = Tiny(break_at_epoch=1)
        run = trainer(tmp_path, *callbacks, logger=CSVLogger(tmp_path))
        run.fit(model, loader(shuffle=True), loader())
        return model.state_dict()

    callback = TopoLipCallback(probe_size=12)
    with pytest.warns(UserWarning, match="TopoLip cannot measure layer") as caught:
        with_it = weights(callback)
    said, at_the_end = (str(warning.message) for warning in caught if "layers.0" in str(warning.message))
    assert "12 of 12 points with a NaN or infinite value" in said
    assert at_the_end.startswith("1 of 4 TopoLip analyses failed and gave NaN: no step could be measured, as TopoLip")
    torch.testing.assert_close(with_it, weights(), rtol=0, atol=0)
    scores = [list(curve.values()) for curve in callback.history.curves]
    assert [any(map(math.isnan, curve)) for curve in scores] == [False, False, True, False]
    assert all(map(math.isnan, callback.history.epoch_drifts[2].values()))


class Broken(Logger):
    """A logger on a full disk."""

    name = version = "broken"

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if any(key.startswith("topolip") for key in metrics) and step == 0:
            raise OSError(28, "No space left on device")

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def test_a_logger_that_fails_does_not_end_the_training(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="could not write to Broken: OSError.*No space left"):
        run = fit(tmp_path, TopoLipCallback(probe_size=12), logger=Broken())
    assert run.current_epoch == 3


def explode(module: nn.Module, batch: Any) -> Any:
    raise RuntimeError("this forward does not work")


@pytest.mark.filterwarnings("ignore:.* TopoLip analyses failed")
def test_a_failing_analysis_warns_or_raises(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="TopoLip analysis failed: RuntimeError.*does not work.*training continues"):
        run = fit(tmp_path, TopoLipCallback(forward_fn=explode))
    assert run.current_epoch == 3
    assert math.isnan(run.callback_metrics["topolip/score"])
    with pytest.raises(RuntimeError, match="this forward does not work"):
        fit(tmp_path, TopoLipCallback(forward_fn=explode, on_error="raise"))


def test_too_small_or_empty_loaders_warn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`probe` must hold at least 3 samples of one shape, got 2"):
        fit(tmp_path, TopoLipCallback(probe=loader(2), on_error="raise"))
    with pytest.raises(ValueError, match="`probe` must hold at least 3 samples of one shape, got 0"):
        fit(tmp_path, TopoLipCallback(probe=[], on_error="raise"))


def test_the_probe_comes_from_the_user_the_validation_or_the_training_data(tmp_path: Path) -> None:
    mine = torch.randn(9, 6)
    taken: list[Tensor] = []

    def forward(module: nn.Module, batch: Any) -> Any:
        taken.append((batch if isinstance(batch, Tensor) else batch[0]).clone())
        return module(taken[-1])

    for source, validate, expected in (
        (mine, True, mine),
        (None, True, take_probe(loader(), 10)[0]),
        (None, False, take_probe(loader(), 10)[0]),
    ):
        callback = TopoLipCallback(probe=source, probe_size=10, figures=False, forward_fn=forward)
        fit(tmp_path, callback, validate=validate, max_epochs=1)
        assert len(taken[-1]) == (9 if source is not None else 10)
        assert torch.equal(taken[-1], expected)


def test_an_unknown_layer_raises_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'layers\.9', which matches none; close matches are layers\.[0-6]"):
        fit(tmp_path, TopoLipCallback(layers="layers.9"))
    with pytest.raises(ValueError, match="`diagram_layers` must contain only values from"):
        fit(tmp_path, TopoLipCallback(diagram_layers=["layers.1"]))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("probe_size", 2), ("probe_size", 10.0), ("every_n_epochs", 0), ("order", 0), ("engine", "none"),
        ("on_error", "ignore"), ("dimensions", ()), ("view", "x"), ("reduction", "x"), ("layers", 7), ("layers", []),
        ("layers", None), ("probe", "val"), ("probe", 5), ("probe", TensorDataset(INPUTS)), ("forward_fn", "forward"),
        ("samples_fn", 3), ("background", "yes"), ("prefix", ""), ("prefix", 3), ("diagram_layers", "layers.1"),
        ("lipschitz", 257), ("budget", "5"), ("budget", "five"),
    ],
)  # fmt: skip
def test_wrong_arguments_raise_at_once(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Argument `{argument}`"):
        TopoLipCallback(**{argument: value})


def test_a_misspelt_argument_has_a_suggestion() -> None:
    for wrong, meant in (("backgrund", "background"), ("oder", "order")):
        with pytest.raises(TypeError, match=rf"`{wrong}` is unknown; did you mean `{meant}`\?"):
            TopoLipCallback(**{wrong: 1})  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:TopoLip needs two steps")
@pytest.mark.parametrize("layers", ["layers.0", ["layers.0", "layers.3"]])
def test_one_or_two_layers_are_drawn_and_logged(tmp_path: Path, layers: Any) -> None:
    logger = TensorBoardLogger(tmp_path)
    callback = TopoLipCallback(layers=layers, probe_size=12)
    fit(tmp_path, callback, logger=logger)
    assert set(events(logger).Tags()["images"]) == {f"topolip/{n}" for n in ("smoothness", "diagrams", "epoch_map")}
    assert math.isfinite(callback.history.epoch_drifts[-1]["layers.0"])


@pytest.mark.parametrize(("layers", "count"), [(["layers.0"], 1), (["layers.0", "layers.3"], 2)])
def test_too_few_layers_are_said_once(tmp_path: Path, layers: list[str], count: int) -> None:
    callback = TopoLipCallback(layers=layers, probe_size=12, figures=False)
    with pytest.warns(UserWarning, match=f"two steps .* speed one, got {count - 1}; name more") as caught:
        fit(tmp_path, callback)
    assert sum("two steps" in str(warning.message) for warning in caught) == 1
    assert "needs 3 layers or more" in str(callback.history.last)
    assert ("needs 2 layers or more" in str(callback.history.last)) == (count == 1)


@pytest.mark.filterwarnings("ignore:.* TopoLip analyses failed")
def test_a_layer_that_fails_at_one_epoch_is_an_empty_panel(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=12, diagram_layers=["layers.3"], on_error="raise")
    with pytest.warns(UserWarning, match="cannot measure layer"):
        trainer(tmp_path, callback, logger=TensorBoardLogger(tmp_path)).fit(Tiny(break_at_epoch=1), loader(), loader())
    assert callback.history.epochs == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore:.* TopoLip analyses failed")
def test_after_a_failure_no_old_number_stays(tmp_path: Path) -> None:
    def sometimes(module: Any, batch: Any) -> Any:
        return explode(module, batch) if module.trainer.global_step == 6 else module(batch[0])

    callback = TopoLipCallback(probe_size=12, forward_fn=sometimes)
    with pytest.warns(UserWarning, match="A TopoLip analysis failed"):
        run = fit(tmp_path, callback, max_epochs=2)
    values = {key: float(value) for key, value in run.callback_metrics.items() if key.startswith("topolip")}
    assert values.pop("topolip/seconds") > 0
    assert values.pop("topolip/overhead") > 0
    assert all(map(math.isnan, values.values()))
    assert {"topolip/input_drift", "topolip_depth/layers.0", "topolip_epoch/layers.0"} <= set(values)


@pytest.mark.parametrize("options", [{"val_check_interval": 0.34}, {"check_val_every_n_epoch": 1}])
def test_monitors_find_the_score_at_every_validation(tmp_path: Path, options: dict[str, Any]) -> None:
    callback = TopoLipCallback(probe_size=12, figures=False, every_n_epochs=2)
    stop = EarlyStopping(monitor="topolip/score", patience=100, check_finite=False)
    keep = ModelCheckpoint(tmp_path, monitor="topolip/score", save_on_train_epoch_end=False)
    run = trainer(tmp_path, stop, keep, callback, **options)
    with pytest.warns(UserWarning, match="looked at a TopoLip value") as caught:
        run.fit(Tiny(), loader(), loader())
    said = [str(warning.message) for warning in caught if "looked at" in str(warning.message)]
    assert sorted(sentence.partition(" ")[0] for sentence in said) == ["EarlyStopping", "ModelCheckpoint"]
    assert run.current_epoch == 3
    assert math.isfinite(float(run.callback_metrics["topolip/score"]))


def test_an_endless_stream_is_analysed_at_its_validations(tmp_path: Path) -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            while True:
                yield from loader().dataset

    callback = TopoLipCallback(probe_size=12, figures=False)
    run = trainer(tmp_path, callback, max_epochs=-1, max_steps=6, val_check_interval=2, check_val_every_n_epoch=None)
    run.fit(Tiny(), DataLoader(Stream(), batch_size=8), loader())
    assert callback.history.epochs == [0, 1, 2, 3]


def test_a_bar_shows_while_an_analysis_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {}
    for seconds in (0.0, 1e9):
        monkeypatch.setattr("lightning_topolip.trainer.analysis._SECONDS_BEFORE_PROGRESS", seconds)
        fit(tmp_path, TopoLipCallback(probe_size=12, figures=False), max_epochs=1, enable_progress_bar=True)
        shown[seconds] = "TopoLip, 12 samples" in capsys.readouterr().err
    assert shown == {0.0: True, 1e9: False}
