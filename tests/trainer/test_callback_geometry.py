"""Geometry and Lipschitz constants beside the topology: the right numbers wherever they are computed, and no trace."""

from __future__ import annotations

import itertools
import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from helpers import geometry_processes
from helpers.processes import found_by_processes
from helpers.trainings import INPUTS, PLAIN_VALUES, Augmented, Order, Tiny, events, fit, loader, trainer
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from test_background import matrices, new_background, worker_of
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_topolip import SmoothnessReport, TopoLipCallback, analyze, distance_matrix
from lightning_topolip.lipschitz import layer_lipschitz, pairwise_lipschitz
from lightning_topolip.models import ViTClassifier
from lightning_topolip.network.probe import take_probe
from lightning_topolip.topology import layer_geometry
from lightning_topolip.topology.geometry import (
    covering_dimension,
    total_variance,
    two_nn_dimension,
)
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report
from lightning_topolip.topology.spectrum import alpha_req, participation_ratio, rankme, variance_spectrum
from lightning_topolip.trainer import analyst, budget, cost

pytestmark = [
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used to create"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

BOTH: dict[str, Any] = {"geometry": True, "lipschitz": 4}
LAYERS = ["layers.0", "layers.3", "layers.5"]
NUMBERS = {
    "variance": ("total_variance", total_variance),
    "two_nn": ("two_nn_dimension", two_nn_dimension),
    "participation": ("participation_ratio", participation_ratio),
    "covering": ("covering_dimension", covering_dimension),
    "rankme": ("rankme", lambda matrix: rankme(variance_spectrum(matrix))),
    "alpha_req": ("alpha_req", lambda matrix: alpha_req(variance_spectrum(matrix))),
}


def outputs(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """What the layers of a `Tiny` put out, by hand."""
    found, states = {"<input>": inputs}, inputs
    with torch.no_grad():
        for name, layer in model.layers.eval().named_children():  # type: ignore[union-attr, operator]
            states = layer(states)
            found[f"layers.{name}"] = states.clone()
    return {name: found[name] for name in ("<input>", *LAYERS)}


def scalars_of(logger: TensorBoardLogger) -> dict[str, list[tuple[int, float]]]:
    found = events(logger)
    tags = [tag for tag in found.Tags()["scalars"] if tag.startswith("topolip")]
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in tags if tag[8:] not in TIMED}


TIMED = ("seconds", "overhead")


def test_the_geometry_equals_that_of_the_functions_on_the_same_matrices() -> None:
    model = Tiny()
    report = analyze(model, INPUTS, LAYERS, geometry=True)
    clouds = outputs(model, INPUTS)
    distances = {name: distance_matrix(cloud).numpy() for name, cloud in clouds.items()}
    assert list(report.geometry) == list(distances)
    for name, matrix in distances.items():
        found = report.geometry[name]
        for number, function in NUMBERS.values():
            assert getattr(found, number) == function(matrix)
        assert found.pairwise_lipschitz == pairwise_lipschitz(distances["<input>"], matrix).value
        assert found.total_variance == pytest.approx(clouds[name].var(0, correction=0).sum().item(), rel=1e-4)
        assert found.failures == {}
    read = json.loads(json.dumps(report.to_dict()))["geometry"]
    assert read["layers.3"]["two_nn_dimension"] == report.geometry["layers.3"].two_nn_dimension


def test_a_turn_and_a_stretch_have_closed_forms() -> None:
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    model = nn.Sequential(*[nn.Linear(6, 6) for _ in range(3)])
    for layer in model:
        layer.weight.data = 2 * turn  # type: ignore[union-attr]
    found = analyze(model, INPUTS, geometry=True).geometry
    for depth, name in enumerate(("<input>", "0", "1", "2")):
        assert found[name].pairwise_lipschitz == pytest.approx(2**depth, rel=1e-4)
        assert found[name].total_variance == pytest.approx(4**depth * found["<input>"].total_variance, rel=1e-4)
        assert found[name].two_nn_dimension == pytest.approx(found["<input>"].two_nn_dimension, rel=1e-3)


def test_it_is_off_by_default_and_changes_no_other_number() -> None:
    model = Tiny()
    without, with_it = (analyze(model, INPUTS, LAYERS, geometry=geometry).to_dict() for geometry in (False, True))
    assert without.pop("geometry") == {}
    assert len(with_it.pop("geometry")) == 4
    np.testing.assert_equal(with_it, without)


def test_a_probe_in_subsets_has_the_geometry_of_the_whole() -> None:
    model = Tiny()
    whole, cut = (analyze(model, INPUTS, LAYERS, geometry=True, subset_size=size) for size in (None, 20))
    assert cut.sample == "2 subsets of 20 samples"
    assert cut.geometry == whole.geometry


def test_every_documented_key_at_every_analysis(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    callback = TopoLipCallback(probe_size=30, figures=False, **BOTH)
    run = fit(tmp_path, callback, logger=logger)
    found = scalars_of(logger)
    kinds = (*NUMBERS, "lipschitz", "local_lipschitz")
    keys = {f"topolip_{kind}/{layer}" for kind in kinds for layer in LAYERS} | {"topolip_local_lipschitz/<output>"}
    headline = {f"topolip/{number}" for number, _ in NUMBERS.values()} | {"topolip/local_lipschitz"}
    assert keys | headline <= set(found)
    assert not {key for key in found if "<input>" in key}
    for key in keys | headline:
        assert [step for step, _ in found[key]] == [0, 2, 5, 8]
        assert all(math.isfinite(value) for _, value in found[key])
    assert callback.history.last is not None
    geometry = callback.history.last.geometry
    for key, (number, _) in NUMBERS.items():
        by_layer = [getattr(geometry[layer], number) for layer in LAYERS]
        assert [found[f"topolip_{key}/{layer}"][-1][1] for layer in LAYERS] == pytest.approx(by_layer)
        assert float(run.callback_metrics[f"topolip/{number}"]) == pytest.approx(np.mean(by_layer))
    names = {key for key in TopoLipCallback.__doc__.split("``") if key.startswith("topolip")}  # type: ignore[union-attr]
    assert {re.sub(r"/(layers\.\d|<output>)$", "/<layer>", key) for key in keys | headline} <= names


def test_local_constants_are_those_of_the_first_samples(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=30, figures=False, lipschitz=4)
    run = fit(tmp_path, callback, max_epochs=1)
    model = run.lightning_module
    assert callback.history.last is not None
    found = callback.history.last.local_lipschitz
    assert found is not None
    first = take_probe(loader(), 30)[0][:4]
    by_hand = layer_lipschitz(model, first, LAYERS).steps
    chain = ["<input>", *LAYERS, "<output>"]
    assert list(found.steps) == chain[1:]
    for start, end in itertools.pairwise(chain):
        assert found.steps[end] == by_hand[start, end].max
    assert found.network == by_hand["<input>", "<output>"].max
    jacobians = [torch.autograd.functional.jacobian(model.eval(), x[None])[0, :, 0] for x in first]
    assert found.network == pytest.approx(max(torch.linalg.matrix_norm(j, 2).item() for j in jacobians), rel=1e-2)
    assert found.failures == {}
    assert float(run.callback_metrics["topolip/local_lipschitz"]) == pytest.approx(found.network)


@pytest.mark.parametrize("options", [{"workers": 2}, {"background": True}])
def test_the_numbers_are_the_same_in_other_processes(tmp_path: Path, options: dict[str, Any]) -> None:
    def run(**where: Any) -> Any:
        logger = TensorBoardLogger(tmp_path / str(where))
        callback = TopoLipCallback(probe_size=30, figures=False, **BOTH, **where)
        fit(tmp_path, callback, logger=logger, max_epochs=2)
        assert callback.history.last is not None
        return scalars_of(logger), callback.history.last.to_dict()

    np.testing.assert_equal(run(**options), run())


@pytest.mark.parametrize("engine", ["auto", "ripser"])
def test_the_background_computes_the_geometry_as_this_thread(engine: Any) -> None:
    background, settings = new_background(engine), Settings(geometry=True, engine=engine)
    try:
        layers = {"<input>": matrices()["0"], **matrices(seed=1)}
        background.submit(0, Measurement(layers), settings)
        (finished,) = background.finished(wait_for=1)
        assert isinstance(finished.outcome, SmoothnessReport)
        expected = smoothness_report(Measurement(layers), settings)
        np.testing.assert_equal(finished.outcome.to_dict()["geometry"], expected.to_dict()["geometry"])
        assert math.isfinite(finished.outcome.geometry["1"].pairwise_lipschitz)
        if engine == "ripser":
            assert "libtorch" not in Path(f"/proc/{worker_of(background)}/maps").read_text()
    finally:
        background.stop()


class Drawing(Tiny):
    """A `Tiny` that takes the images of `Augmented`."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.flatten(1)[:, :6])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self(batch[0])


def small_vit() -> LightningModule:
    model = ViTClassifier(size="micro", num_classes=2, drop_path=0.2, warmup_fraction=0.0)
    model.network = nn.Sequential(model.network, nn.BatchNorm1d(2), nn.Dropout(0.2))
    return model


@pytest.mark.parametrize(
    ("build", "options", "precision"),
    [
        (small_vit, {"every_n_epochs": 2}, "32-true"),
        (Drawing, {"background": True}, "32-true"),
        (Drawing, {"every_n_steps": 2}, "bf16-mixed"),
    ],
)
def test_training_is_bit_identical_with_and_without_them(
    tmp_path: Path, build: Any, options: dict[str, Any], precision: Any
) -> None:
    def run(*callbacks: Callback) -> list[Any]:
        seed_everything(7, verbose=False)
        model = build()
        order, gradients = Order(), Gradients()
        fitted = trainer(tmp_path, order, *callbacks, gradients, max_epochs=2, precision=precision)
        fitted.fit(model, *(DataLoader(Binary(), batch_size=8, shuffle=shuffle) for shuffle in (True, False)))
        states = [optimizer.state_dict() for optimizer in fitted.optimizers]
        modes = [(module.training, len(module._forward_hooks)) for module in model.modules()]
        return [model.state_dict(), gradients.seen, states, order.seen, torch.get_rng_state(), modes]

    callback = TopoLipCallback(probe_size=24, halvings=0, figures=False, geometry=True, lipschitz=3, **options)
    torch.testing.assert_close(run(callback), run(), rtol=0, atol=0)
    assert len(callback.history.epochs) >= 2
    assert callback.history.last is not None
    assert callback.history.last.local_lipschitz is not None
    assert math.isfinite(callback.history.last.local_lipschitz.network)


class Binary(Augmented):
    """Two classes."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = super().__getitem__(index)
        return image, label % 2


class Gradients(Callback):
    """Writes down the gradients that are there after every batch."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.seen.append([None if p.grad is None else p.grad.clone() for p in pl_module.parameters()])


def test_the_trainers_precision_is_kept(tmp_path: Path) -> None:
    def run(precision: Any) -> Any:
        callback = TopoLipCallback(probe_size=30, figures=False, **BOTH)
        fit(tmp_path, callback, precision=precision, max_epochs=1)
        assert callback.history.last is not None
        found = callback.history.last.local_lipschitz
        assert found is not None
        return [*found.steps.values(), found.network]

    exact, half = run("32-true"), run("bf16-mixed")
    assert half == pytest.approx(exact, rel=0.1)
    assert half != exact


def test_a_checkpoint_carries_them_and_a_resumed_run_goes_on(tmp_path: Path) -> None:
    def resumable(callback: TopoLipCallback, epochs: int, checkpoint: Path | None = None) -> Trainer:
        seed_everything(3, verbose=False)
        keep = ModelCheckpoint(tmp_path, save_last=True)
        run = trainer(tmp_path, callback, keep, max_epochs=epochs)
        run.fit(Tiny(), loader(), loader(), ckpt_path=checkpoint, **PLAIN_VALUES)
        return run

    first, second, without = (TopoLipCallback(probe_size=30, figures=False, **options) for options in (BOTH, BOTH, {}))
    resumable(first, 2)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"][first.state_key]
    second.load_state_dict(saved)
    assert second._restored is not None
    assert first.history.last is not None
    assert second._restored.last is not None
    assert second._restored.last.geometry == first.history.last.geometry
    assert second._restored.last.local_lipschitz == first.history.last.local_lipschitz
    without.load_state_dict(saved)
    assert without._restored is not None
    assert without._restored.epochs == [0, 1, 2]
    run = resumable(second, 3, tmp_path / "last.ckpt")
    assert second.history.epochs == [0, 1, 2, 3]
    assert math.isfinite(run.callback_metrics["topolip/two_nn_dimension"])


def test_a_state_without_them_still_loads(tmp_path: Path) -> None:
    old = TopoLipCallback(probe_size=30, figures=False)
    fit(tmp_path, old, max_epochs=1)
    new = TopoLipCallback(probe_size=30, figures=False, **BOTH)
    new.load_state_dict(old.state_dict())
    assert new._restored is not None
    assert new._restored.epochs == [0, 1]
    assert new._restored.last is not None
    assert math.isnan(new._restored.last.geometry["layers.0"].total_variance)


def test_the_prefix_leads_every_key_and_a_test_has_its_own(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=30, figures=False, prefix="mine", **BOTH)
    run = fit(tmp_path, callback, max_epochs=1)
    own = {f"_{kind}" for kind in (*NUMBERS, "lipschitz", "local_lipschitz", "depth", "epoch")}
    keys = set(run.callback_metrics) - {"val/loss"}
    assert {key.split("/")[0] for key in keys} == {"mine"} | {f"mine{kind}" for kind in own}
    run.test(run.lightning_module, loader(), verbose=False)
    assert "mine_test_two_nn/layers.0" in run.callback_metrics
    assert math.isfinite(run.callback_metrics["mine_test/local_lipschitz"])


class Flat(Tiny):
    """One layer puts all samples on one point."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            cast(nn.Linear, self.layers[5]).weight.zero_()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.layers[:5].parameters(), lr=0.0)


def said(caught: Any, text: str) -> list[str]:
    return [str(warning.message) for warning in caught if text in str(warning.message)]


def test_undefined_numbers_are_nan_with_one_warning(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=30, figures=False, geometry=True)
    run = trainer(tmp_path, callback, max_epochs=2)
    with pytest.warns(UserWarning, match="TopoLip") as caught:
        run.fit(Flat(), loader(), loader())
    assert said(caught, "participation_ratio") == [
        "TopoLip, participation_ratio of 'layers.5' is NaN: all points coincide."
    ]
    assert len(said(caught, "two_nn_dimension")) == len(said(caught, "covering_dimension")) == 1
    assert math.isnan(run.callback_metrics["topolip_two_nn/layers.5"])
    assert math.isnan(run.callback_metrics["topolip/two_nn_dimension"])
    assert run.callback_metrics["topolip_variance/layers.5"] == run.callback_metrics["topolip_lipschitz/layers.5"] == 0
    assert math.isfinite(run.callback_metrics["topolip_two_nn/layers.3"])


def test_a_function_that_fails_is_nan_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> float:
        raise MemoryError("no more")

    monkeypatch.setattr(layer_geometry, "two_nn_dimension", refuse)
    monkeypatch.setattr(layer_geometry, "pairwise_lipschitz", refuse)
    callback = TopoLipCallback(probe_size=30, figures=False, geometry=True)
    with pytest.warns(UserWarning, match="is NaN: no more") as caught:
        run = fit(tmp_path, callback, max_epochs=2)
    assert len(said(caught, "no more")) == 2
    assert math.isnan(run.callback_metrics["topolip/two_nn_dimension"])
    assert math.isnan(run.callback_metrics["topolip_lipschitz/layers.0"])
    assert math.isfinite(run.callback_metrics["topolip/score"])
    assert math.isfinite(run.callback_metrics["topolip/covering_dimension"])


def test_a_layer_that_cannot_be_measured_has_nan_in_every_key(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=30, figures=False, **BOTH)
    run = trainer(tmp_path, callback)
    with pytest.warns(UserWarning, match="TopoLip"):
        run.fit(Tiny(break_at_epoch=2), loader(), loader())
    values = {key: float(value) for key, value in run.callback_metrics.items()}
    assert math.isnan(values["topolip_variance/layers.0"])
    assert math.isnan(values["topolip_lipschitz/layers.0"])
    assert math.isnan(values["topolip_local_lipschitz/layers.0"])
    assert math.isnan(values["topolip/total_variance"])


def test_where_the_input_is_no_tensor_of_numbers_there_is_no_stretch_from_it(tmp_path: Path) -> None:
    def words(module: Any, batch: Any) -> Any:
        return module((batch[0] if isinstance(batch, (tuple, list)) else batch).double().float() * 0.1)

    callback = TopoLipCallback(
        probe=torch.arange(180).reshape(30, 6), forward_fn=words, probe_size=30, figures=False, geometry=True
    )
    run = fit(tmp_path, callback, max_epochs=1)
    assert not [key for key in run.callback_metrics if key.startswith("topolip_lipschitz/")]
    assert math.isfinite(run.callback_metrics["topolip_variance/layers.0"])


class Together(Tiny):
    """Its samples influence each other."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs - inputs.mean(0))


def cannot_be_differentiated(module: nn.Module, batch: Any) -> Any:
    if torch.is_grad_enabled():
        raise OSError("only without gradients")
    return module(batch[0])


@pytest.mark.parametrize(
    ("model", "forward_fn", "reason", "lost"),
    [
        (Together, None, "must act on each sample separately", {"layers.0", "<network>"}),
        (Tiny, cannot_be_differentiated, "only without gradients", {*LAYERS, "<output>", "<network>"}),
    ],
)
def test_constants_that_do_not_exist_are_nan_with_one_warning(
    tmp_path: Path, model: type[Tiny], forward_fn: Any, reason: str, lost: set[str]
) -> None:
    callback = TopoLipCallback(probe_size=30, figures=False, lipschitz=4, forward_fn=forward_fn)
    run = trainer(tmp_path, callback, max_epochs=2)
    with pytest.warns(UserWarning, match=reason) as caught:
        run.fit(model(), loader(), loader())
    assert len(said(caught, reason)) == len(said(caught, "local Lipschitz constant of")) == 1
    assert callback.history.last is not None
    found = callback.history.last.local_lipschitz
    assert found is not None
    assert set(found.failures) == lost
    values = found.steps | {"<network>": found.network}
    assert {name for name, value in values.items() if math.isnan(value)} == lost
    assert math.isnan(run.callback_metrics["topolip/local_lipschitz"])
    assert math.isfinite(run.callback_metrics["topolip/score"])


@pytest.mark.filterwarnings("ignore:.* TopoLip analyses failed")
def test_a_failed_first_analysis_has_their_headline_too(tmp_path: Path) -> None:
    def explode(module: nn.Module, batch: Any) -> Any:
        raise RuntimeError("this forward does not work")

    with pytest.warns(UserWarning, match="A TopoLip analysis failed"):
        run = fit(tmp_path, TopoLipCallback(forward_fn=explode, **BOTH), max_epochs=1)
    assert math.isnan(run.callback_metrics["topolip/two_nn_dimension"])
    assert math.isnan(run.callback_metrics["topolip/local_lipschitz"])


@pytest.mark.parametrize("background", [False, True])
def test_the_predicted_cost_counts_the_constants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    lines: list[str] = []
    passed = [0.0]
    constants: Callable[..., Any] = analyst.local_constants

    def slow(*arguments: Any) -> Any:
        passed[0] += 1000.0
        return constants(*arguments)

    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + passed[0])
    monkeypatch.setattr(analyst, "time", clock)
    monkeypatch.setattr(budget, "time", clock)
    monkeypatch.setattr(cost, "time", clock)
    monkeypatch.setattr(analyst, "rank_zero_info", lines.append)
    monkeypatch.setattr(analyst, "local_constants", slow)
    callback = TopoLipCallback(probe_size=20, figures=False, lipschitz=3, background=background)
    fit(tmp_path, callback, max_steps=1)
    (line,) = lines
    assert "20 samples: an analysis takes about 1e+03 s" in line
    assert passed[0] == 1000.0 * (1 + len(callback.history.epochs))
    assert (callback._recorder.latest["topolip/seconds"] > 1000) is not background


@pytest.mark.parametrize(
    ("argument", "value"),
    [("geometry", 1), ("geometry", "yes"), ("lipschitz", 2), ("lipschitz", -1), ("lipschitz", 4.0)],
)
def test_wrong_arguments_raise_at_once(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Argument `{argument}` must be"):
        TopoLipCallback(**{argument: value})


@pytest.mark.parametrize("strategy", [FSDPStrategy(), ModelParallelStrategy()])
def test_a_sharded_model_has_no_local_constants(strategy: Any) -> None:
    run, module = cast(Trainer, SimpleNamespace(strategy=strategy)), Tiny()
    with pytest.raises(ValueError, match=f"Argument `lipschitz` must be 0 .* got 4 with {type(strategy).__name__}"):
        TopoLipCallback(lipschitz=4).setup(run, module, "fit")
    TopoLipCallback(geometry=True).setup(run, module, "fit")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return found_by_processes(geometry_processes.main, tmp_path_factory.mktemp("processes"))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["inline", "background", "failing"])
def test_two_processes_log_the_same_and_train_as_without(processes: dict[str, Any], case: str) -> None:
    first, second = processes["2-0"][case], processes["2-1"][case]
    assert first["values"] == second["values"]
    assert {"topolip/two_nn_dimension", "topolip_lipschitz/layers.3", "topolip/local_lipschitz"} <= set(first["values"])
    for rank in ("2-0", "2-1"):
        assert processes[rank][case]["weights"] == processes[rank]["plain"]["weights"]
    if case == "inline":
        assert first["geometry"] == second["geometry"]
        assert first["local"] == second["local"]


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(processes: dict[str, Any]) -> None:
    alone = processes["1-0"]["alone"]
    assert {"topolip/two_nn_dimension", "topolip_lipschitz/layers.3", "topolip/local_lipschitz"} <= set(alone)
    assert processes["2-0"]["alone"] == processes["2-1"]["alone"] == alone


@pytest.mark.parametrize(("threshold", "epochs"), [(1.0, 3), (8.0, 1)])
def test_a_gate_ends_a_training_whose_layers_use_too_few_directions(
    tmp_path: Path, threshold: float, epochs: int
) -> None:
    options: dict[str, Any] = {"patience": 10**6, "check_finite": False}
    gate = EarlyStopping("topolip/rankme", mode="max", divergence_threshold=threshold, **options)
    run = trainer(tmp_path, TopoLipCallback(probe_size=30, figures=False, geometry=True), gate)
    run.fit(Tiny(), loader(), loader())
    assert run.current_epoch == epochs
    assert 1 < run.callback_metrics["topolip/rankme"] < 8
