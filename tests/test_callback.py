"""The callback in real trainings: what it logs, when, and that training does not feel it."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lightning_topolip import TopoLipCallback
from lightning_topolip.models import ResNetClassifier, ViTClassifier

HEADLINE = {
    f"topolip/{name}"
    for name in (
        "score",
        "speed_mean",
        "speed_max",
        "epoch_drift",
        "noise",
        "signal",
        "input_drift",
        "seconds",
    )
}


class Tiny(LightningModule):
    """A network with dropout and batch norm that a CPU trains in no time."""

    def __init__(self, break_at_epoch: int | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.Dropout(0.2), nn.Linear(8, 2)
        )
        self.break_at_epoch = break_at_epoch

    def forward(self, inputs: Tensor) -> Tensor:
        broken = not self.training and self.break_at_epoch == self.current_epoch
        output: Tensor = self.layers(inputs * math.nan if broken else inputs)
        return output

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs, labels = batch
        return nn.functional.cross_entropy(self(inputs + 0.1 * torch.randn_like(inputs)), labels)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        inputs, labels = batch
        self.log("val/loss", nn.functional.cross_entropy(self.layers(inputs), labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


INPUTS = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))


def loader(n: int = 48, shuffle: bool = False) -> DataLoader[Any]:
    return DataLoader(TensorDataset(INPUTS[:n], (INPUTS[:n].sum(1) > 0).long()), batch_size=16, shuffle=shuffle)


def trainer(folder: Path, *callbacks: Callback, logger: Any = False, **options: Any) -> Trainer:
    defaults = {
        "max_epochs": 3,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    defaults["enable_checkpointing"] = any(isinstance(c, ModelCheckpoint) for c in callbacks)
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), logger=logger, **{**defaults, **options})


def fit(folder: Path, callback: TopoLipCallback, *, validate: bool = True, **options: Any) -> Trainer:
    seed_everything(0, verbose=False)
    run = trainer(folder, callback, **options)
    run.fit(Tiny(), loader(shuffle=True), loader() if validate else None)
    return run


def events(logger: TensorBoardLogger) -> EventAccumulator:
    accumulator = EventAccumulator(logger.log_dir, size_guidance={"images": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def test_every_documented_key_and_figure_at_every_epoch(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    run = fit(tmp_path, TopoLipCallback(probe_size=20), logger=logger, log_every_n_steps=1)
    found = events(logger)
    layers = ["layers.0", "layers.3", "layers.5"]
    keys = HEADLINE | {f"topolip_{axis}/{layer}" for axis in ("depth", "epoch") for layer in layers}
    tags = {tag for tag in found.Tags()["scalars"] if tag.startswith("topolip")}
    assert tags == keys
    assert {key for key in run.callback_metrics if key.startswith("topolip")} == keys
    for key in keys:
        steps = [event.step for event in found.Scalars(key)]
        first_has_none = key == "topolip/epoch_drift" or key.startswith("topolip_epoch/")
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
    report = analyze(run.lightning_module, INPUTS[:20])
    assert callback.history.last is not None
    assert callback.history.last.curve.tolist() == report.curve.tolist()
    assert float(run.callback_metrics["topolip/score"]) == pytest.approx(report.score)
    assert float(run.callback_metrics["topolip/noise"]) == pytest.approx(report.noise.level)


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
    callback = TopoLipCallback(probe_size=12, every_n_epochs=options.pop("every", 1), figures=False, noise_splits=0)
    fit(tmp_path, callback, validate=validate, max_epochs=5, **options)
    assert callback.history.epochs == epochs


def test_other_callbacks_can_monitor_the_score(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=12, figures=False, noise_splits=0)
    stop = EarlyStopping(monitor="topolip/score", patience=0, min_delta=1e9)
    keep = ModelCheckpoint(tmp_path, monitor="topolip/speed_max", filename="{epoch}")
    run = trainer(tmp_path, stop, keep, callback, max_epochs=5)
    run.fit(Tiny(), loader(), loader())
    assert run.current_epoch == 2
    assert Path(keep.best_model_path).exists()
    assert float(keep.best_model_score) in [pytest.approx(max(list(c.values())[1:])) for c in callback.history.curves]


class Augmented(Dataset[tuple[Tensor, int]]):
    """Random augmentation in the data set, as training has it."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.full((3, 32, 32), index / 24) + 0.1 * torch.rand(3, 32, 32)
        return (image.flip(-1) if torch.rand(()) < 0.5 else image), index % 4


class Order(Callback):
    """Writes down the data and the random state that training sees."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append((batch[0].clone(), batch[1].clone(), torch.get_rng_state()))


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("kind", [ViTClassifier, ResNetClassifier])
def test_training_is_bit_identical_with_and_without_it(tmp_path: Path, kind: Any, validate: bool) -> None:
    def run(*callbacks: Callback) -> list[Any]:
        seed_everything(7, verbose=False)
        model = kind(size="micro", num_classes=4, drop_path=0.2, warmup_fraction=0.0)
        model.network = nn.Sequential(model.network, nn.BatchNorm1d(4), nn.Dropout(0.2))
        order = Order()
        fitted = trainer(tmp_path, order, *callbacks, max_epochs=2)
        training = DataLoader(Augmented(), batch_size=8, shuffle=True)
        fitted.fit(model, training, DataLoader(Augmented(), batch_size=8) if validate else None)
        states = [optimizer.state_dict() for optimizer in fitted.optimizers]
        gradients = [parameter.grad for parameter in model.parameters()]
        modes = [module.training for module in model.modules()]
        return [model.state_dict(), gradients, states, order.seen, torch.get_rng_state(), modes]

    callback = TopoLipCallback(probe_size=16, noise_splits=1)
    torch.testing.assert_close(run(callback), run(), rtol=0, atol=0)
    assert callback.history.epochs == [0, 1, 2]


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
    said = [str(warning.message) for warning in caught if "layers.0" in str(warning.message)]
    assert len(said) == 1
    assert "12 of 12 points with a NaN or infinite value" in said[0]
    torch.testing.assert_close(with_it, weights(), rtol=0, atol=0)
    scores = [list(curve.values()) for curve in callback.history.curves]
    assert [any(map(math.isnan, curve)) for curve in scores] == [False, False, True, False]
    assert all(map(math.isnan, callback.history.drifts[2].values()))


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


def test_a_failing_analysis_warns_or_raises(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="TopoLip analysis failed: RuntimeError.*does not work.*training goes on"):
        run = fit(tmp_path, TopoLipCallback(forward_fn=explode))
    assert run.current_epoch == 3
    assert math.isnan(run.callback_metrics["topolip/score"])
    with pytest.raises(RuntimeError, match="this forward does not work"):
        fit(tmp_path, TopoLipCallback(forward_fn=explode, on_error="raise"))


def test_too_small_or_empty_loaders_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`probe` must hold at least 3 samples, got 2"):
        fit(tmp_path, TopoLipCallback(probe=loader(2), on_error="raise"))
    with pytest.raises(ValueError, match="`probe` must hold at least 3 samples, got 0"):
        fit(tmp_path, TopoLipCallback(probe=[], on_error="raise"))


def test_the_probe_comes_from_the_user_the_validation_or_the_training_data(tmp_path: Path) -> None:
    mine = torch.randn(9, 6)
    for source, validate, expected in (
        (mine, True, mine),
        (None, True, INPUTS[:10]),
        (None, False, None),
    ):
        callback = TopoLipCallback(probe=source, probe_size=10, figures=False)
        fit(tmp_path, callback, validate=validate, max_epochs=1)
        taken = callback._probe if source is not None else callback._probe[0]
        assert len(taken) == (9 if source is not None else 10)
        assert expected is None or torch.equal(taken, expected)


def test_an_unknown_layer_raises_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'layers\.9', which matches none; close matches: layers\.[0-5]"):
        fit(tmp_path, TopoLipCallback(layers="layers.9"))
    with pytest.raises(ValueError, match="`diagram_layers` must name analysed layers"):
        fit(tmp_path, TopoLipCallback(diagram_layers=["layers.1"]))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("probe_size", 2), ("probe_size", 10.0), ("every_n_epochs", 0), ("order", 0), ("engine", "none"),
        ("on_error", "ignore"), ("dimensions", ()), ("view", "x"), ("reduction", "x"),
    ],
)  # fmt: skip
def test_wrong_arguments_raise_at_once(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Argument `{argument}`"):
        TopoLipCallback(**{argument: value})


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
    run.fit(model, loader(), loader(), ckpt_path=checkpoint, weights_only=True)
    return model


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_resumed_run_continues_its_curves(tmp_path: Path) -> None:
    whole, first, second = (TopoLipCallback(probe_size=16) for _ in range(3))
    resumable(tmp_path / "whole", whole, 4)
    resumable(tmp_path / "parts", first, 2)
    resumable(tmp_path / "parts", second, 4, str(tmp_path / "parts" / "last.ckpt"))
    assert second.history.epochs == [0, 1, 2, 3, 4]
    assert second.history.curves[:3] == whole.history.curves[:3]
    assert [set(moved) for moved in second.history.drifts] == [set(moved) for moved in whole.history.drifts]
    assert second.history.drifts[:3] == whole.history.drifts[:3]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"version": 99}, "version 99"), ({"last": {"settings": {"order": 7.0}}}, "was made with"), ({"last": 3}, "anew")],
)
def test_a_state_that_does_not_fit_is_said_and_the_curves_begin_anew(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    callback = TopoLipCallback(probe_size=16)
    fit(tmp_path, callback, max_epochs=1)
    other = TopoLipCallback(probe_size=16)
    with pytest.warns(UserWarning, match=f"curves of the checkpoint, they begin anew: .*{message}|{message}"):
        other.load_state_dict({**callback.state_dict(), **change})
    assert other.history.epochs == []


def test_a_second_fit_of_another_model_begins_anew(tmp_path: Path) -> None:
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


class Still(Tiny):
    """Does not learn, so that nothing may drift; changes the batch and draws wherever a module can."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        inputs, labels = batch
        return (inputs + torch.randn_like(inputs) if self.trainer.training else inputs * 2), labels

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.mul_(0.5))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.layers[5:].parameters(), lr=0.0)


@pytest.mark.parametrize("validate", [True, False])
def test_nothing_drifts_where_nothing_learns(tmp_path: Path, validate: bool) -> None:
    callback = TopoLipCallback(probe_size=16, layers="layers.0")
    run = trainer(tmp_path, callback)
    run.fit(Still(), loader(), loader() if validate else None)
    assert callback.history.epochs == [0, 1, 2, 3]
    assert [moved["layers.0"] for moved in callback.history.drifts[1:]] == [0, 0, 0]


def test_transfer_hooks_do_not_make_training_differ(tmp_path: Path) -> None:
    def weights(*callbacks: Callback) -> Any:
        seed_everything(0, verbose=False)

        class Hooked(Tiny):
            on_after_batch_transfer = Still.on_after_batch_transfer

        model = Hooked()
        trainer(tmp_path, *callbacks).fit(model, loader(shuffle=True), loader())
        return model.state_dict(), torch.get_rng_state()

    torch.testing.assert_close(weights(TopoLipCallback(probe_size=16)), weights(), rtol=0, atol=0)


class OwnGenerator(Augmented):
    """A data set with random generators of its own."""

    def __init__(self) -> None:
        self.torch = torch.Generator().manual_seed(0)
        self.others = {"numpy": np.random.default_rng(0), "python": random.Random(0)}

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        inputs = torch.rand(6, generator=self.torch) + self.others["numpy"].normal() + self.others["python"].random()
        return inputs.float(), index % 2


def test_data_with_generators_of_their_own_do_not_make_training_differ(tmp_path: Path) -> None:
    def weights(*callbacks: Callback) -> Any:
        seed_everything(0, verbose=False)
        model = Tiny()
        trainer(tmp_path, *callbacks).fit(model, DataLoader(OwnGenerator(), batch_size=8, shuffle=True))
        return model.state_dict()

    torch.testing.assert_close(weights(TopoLipCallback(probe_size=16)), weights(), rtol=0, atol=0)


@pytest.mark.parametrize("layers", ["layers.0", ["layers.0", "layers.3"]])
def test_one_or_two_layers_are_drawn_and_logged(tmp_path: Path, layers: Any) -> None:
    logger = TensorBoardLogger(tmp_path)
    callback = TopoLipCallback(layers=layers, probe_size=12)
    fit(tmp_path, callback, logger=logger)
    assert set(events(logger).Tags()["images"]) == {f"topolip/{n}" for n in ("smoothness", "diagrams", "epoch_map")}
    assert math.isfinite(callback.history.drifts[-1]["layers.0"])


def test_a_layer_that_fails_at_one_epoch_is_an_empty_panel(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=12, diagram_layers=["layers.3"], on_error="raise")
    with pytest.warns(UserWarning, match="cannot measure layer"):
        trainer(tmp_path, callback, logger=TensorBoardLogger(tmp_path)).fit(Tiny(break_at_epoch=1), loader(), loader())
    assert callback.history.epochs == [0, 1, 2, 3]


def test_after_a_failure_no_old_number_stays(tmp_path: Path) -> None:
    calls: list[int] = []

    def sometimes(module: Any, batch: Any) -> Any:
        calls.append(1)
        return explode(module, batch) if len(calls) == 3 else module(batch[0])

    callback = TopoLipCallback(probe_size=12, forward_fn=sometimes)
    with pytest.warns(UserWarning, match="A TopoLip analysis failed"):
        run = fit(tmp_path, callback, max_epochs=2)
    values = {key: float(value) for key, value in run.callback_metrics.items() if key.startswith("topolip")}
    assert values.pop("topolip/seconds") > 0
    assert all(map(math.isnan, values.values()))
    assert {"topolip/input_drift", "topolip_depth/layers.0", "topolip_epoch/layers.0"} <= set(values)


@pytest.mark.parametrize("options", [{"val_check_interval": 0.34}, {"check_val_every_n_epoch": 1}])
def test_monitors_find_the_score_at_every_validation(tmp_path: Path, options: dict[str, Any]) -> None:
    callback = TopoLipCallback(probe_size=12, figures=False, every_n_epochs=2)
    stop = EarlyStopping(monitor="topolip/score", patience=100)
    keep = ModelCheckpoint(tmp_path, monitor="topolip/score", save_on_train_epoch_end=False)
    run = trainer(tmp_path, stop, keep, callback, **options)
    run.fit(Tiny(), loader(), loader())
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


def test_two_callbacks_need_two_prefixes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`prefix` must differ .* got 'topolip' twice"):
        trainer(tmp_path, TopoLipCallback(), TopoLipCallback(view="raw")).fit(Tiny(), loader(), loader())
    both = TopoLipCallback(probe_size=12), TopoLipCallback(probe_size=12, view="raw", prefix="gain")
    run = trainer(tmp_path, *both)
    run.fit(Tiny(), loader(), loader())
    for callback, prefix in zip(both, ("topolip", "gain"), strict=True):
        assert callback.history.last is not None
        assert float(run.callback_metrics[f"{prefix}/score"]) == pytest.approx(callback.history.last.score)


def test_a_probe_of_another_size_begins_new_curves(tmp_path: Path) -> None:
    first = TopoLipCallback(probe_size=12, figures=False)
    run = fit(tmp_path, first, max_epochs=2)
    first.probe_size = 20
    run.fit_loop.max_epochs = 4
    with pytest.warns(UserWarning, match="the probe now has 20 samples.*begin anew"):
        run.fit(run.lightning_module, loader(), loader())
    assert first.history.epochs == [3, 4]


@pytest.mark.slow
def test_every_process_logs_what_one_process_logs(tmp_path: Path) -> None:
    script = tmp_path / "ddp.py"
    script.write_text(DDP)
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **ENV})
    assert done.returncode == 0, done.stderr[-3000:]
    numbers = [json.loads((tmp_path / name).read_text()) for name in ("one.json", "rank0.json", "rank1.json")]
    assert numbers[1] == numbers[2]
    assert numbers[1]["probe"] == pytest.approx(numbers[0]["probe"])
    assert numbers[1]["start"] == pytest.approx(numbers[0]["start"])


ENV = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
DDP = """
import json, sys, warnings
from pathlib import Path
from test_callback import Tiny, TopoLipCallback, loader, seed_everything, trainer

def main(name, **options):
    seed_everything(0, verbose=False)
    callback = TopoLipCallback(probe_size=12, figures=False, on_error="raise")
    run = trainer(Path(sys.argv[1]), callback, max_epochs=1, **options)
    run.fit(Tiny(), loader(), loader())
    numbers = {"start": callback.history.curves[0], "end": callback.history.curves[1]}
    numbers["probe"] = callback._probe[0].flatten().tolist()
    (Path(sys.argv[1]) / name.format(run.global_rank)).write_text(json.dumps(numbers))

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    import os
    if "LOCAL_RANK" not in os.environ:
        main("one.json")
    main("rank{}.json", devices=2, strategy="ddp")
"""


def test_a_bar_shows_while_an_analysis_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {}
    for seconds in (0.0, 1e9):
        monkeypatch.setattr("lightning_topolip.callback._SECONDS_BEFORE_PROGRESS", seconds)
        fit(tmp_path, TopoLipCallback(probe_size=12, figures=False), max_epochs=1, enable_progress_bar=True)
        shown[seconds] = "TopoLip, 12 samples" in capsys.readouterr().err
    assert shown == {0.0: True, 1e9: False}
