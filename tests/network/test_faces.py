"""Every family of networks has the same layers for `analyze`, the callback, the metric and the Lipschitz constants."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.families import (
    IDS,
    IMAGES,
    SEQUENCES,
    Autoencoder,
    D,
    Matcher,
    Recurrent,
    Residual,
    UNet,
    hugging_face,
)
from helpers.trainings import trainer
from lightning import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_topolip import SmoothnessReport, TopoLipCallback, TopoLipMetric, analyze
from lightning_topolip.lipschitz import OUTPUT, layer_lipschitz
from lightning_topolip.network.batches import run_model
from lightning_topolip.topology.names import INPUT


class TimeFirst(nn.Module):
    """Four recurrent layers in a row with ``batch_first=False``, behind an input with its samples first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.LSTM(D, D) for _ in range(4))

    def forward(self, sequences: Tensor) -> Tensor:
        hidden = sequences.transpose(0, 1)
        for layer in self.layers:
            hidden = layer(hidden)[0]
        return hidden.transpose(0, 1)


class FirstOutput(nn.Module):
    """A module of which only the first output is used."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        return self.module(inputs)[0]


class Windows(nn.Module):
    """Blocks whose inner layers mix samples and positions, so that the blocks stand in for them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Flatten(0, 1), Residual(), nn.Unflatten(0, (-1, 6))) for _ in "abc"
        )

    def forward(self, sequences: Tensor) -> Tensor:
        for block in self.blocks:
            sequences = block(sequences)
        return sequences


class Shared(nn.Module):
    """One block that runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Residual()
        self.head = nn.Linear(D, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.block(self.block(self.block(inputs))))


FAMILIES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "time first": lambda: (TimeFirst(), SEQUENCES),
    "recurrent": lambda: (Recurrent(nn.GRU, batch_first=False), IDS),
    "windows": lambda: (Windows(), SEQUENCES),
    "shared": lambda: (Shared(), SEQUENCES[:, 0]),
    "perceptron": lambda: (nn.Sequential(nn.Linear(D, D), nn.ReLU(), nn.Linear(D, 4)), SEQUENCES[:, 0]),
    "unet": lambda: (UNet(), IMAGES),
    "autoencoder": lambda: (Autoencoder(), SEQUENCES[:, 0]),
    "two inputs": lambda: (Matcher(), {"left": SEQUENCES[:, 0], "right": SEQUENCES[:, 1]}),
    "transformer": lambda: (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(D, 2, 16, batch_first=True), 3, enable_nested_tensor=False),
        SEQUENCES,
    ),
    "bert": lambda: hugging_face("bert"),
    "gpt2": lambda: hugging_face("gpt2"),
    "albert": lambda: hugging_face("albert"),
    "hugging face vit": lambda: hugging_face("vit"),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, batch = FAMILIES[request.param]()
    return model.eval(), batch


def expected_report(model: nn.Module, batch: Any) -> SmoothnessReport:
    report = analyze(model, batch, halvings=0)
    assert len(report.layers) >= 3
    assert np.isfinite(report.curve).all()
    return report


def own_drifts(report: SmoothnessReport) -> dict[tuple[str, str], float]:
    """The drift of every step between the network's own layers."""
    return {step: drift for step, drift in zip(report.steps, report.curve.tolist(), strict=True) if step[0] != INPUT}


def test_an_attached_metric_has_the_layers_and_the_curve_of_analyze(family: tuple[nn.Module, Any]) -> None:
    model, batch = family
    expected = expected_report(model, batch)
    metric = TopoLipMetric(halvings=0)
    with torch.no_grad(), warnings.catch_warnings(), metric.attach(model):
        warnings.simplefilter("ignore")
        run_model(model, batch)
    report = metric.report()
    assert [name for name in report.layers if name != INPUT] == [name for name in expected.layers if name != INPUT]
    assert own_drifts(report) == pytest.approx(own_drifts(expected), abs=1e-6)
    assert report.score == pytest.approx(expected.score, abs=1e-6)


def test_the_callback_has_the_layers_and_the_curve_of_analyze(family: tuple[nn.Module, Any], tmp_path: Path) -> None:
    model, batch = family
    expected = expected_report(model, batch)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.network(*args, **kwargs)

        def validation_step(self, batch: Any, index: int) -> None:
            pass

    callback = TopoLipCallback(
        probe=batch,
        halvings=0,
        figures=False,
        on_error="raise",
        forward_fn=lambda module, batch: run_model(module.network, batch),
    )
    run = trainer(tmp_path, callback, logger=False)
    run.validate(Module(), DataLoader([0]), verbose=False)
    logged = {key.removeprefix("topolip_depth/network."): value for key, value in run.callback_metrics.items()}
    assert run.callback_metrics["topolip/score"] == pytest.approx(expected.score, abs=1e-6)
    for (_, later), drift in own_drifts(expected).items():
        assert logged[later] == pytest.approx(drift, abs=1e-6)


def test_lipschitz_constants_know_the_layers_of_analyze(family: tuple[nn.Module, Any]) -> None:
    model, batch = family
    expected = expected_report(model, batch)
    names = [name for name in expected.layers if name != INPUT and "#" not in name]
    constants = layer_lipschitz(model, batch, names, tolerance=0.5, max_iterations=3)
    places = {place for step in (*constants.steps, *constants.failures) for place in step}
    assert places - {INPUT, OUTPUT} == set(names)
    assert not [step for step in constants.failures if step[0] == step[1]]


def test_lipschitz_constants_do_not_depend_on_the_axis_of_the_samples() -> None:
    """Recurrent modules with the same weights and their samples on the first or on the second axis."""
    torch.manual_seed(0)
    samples_first = nn.Sequential(*[FirstOutput(nn.LSTM(D, D, batch_first=True)) for _ in range(3)]).eval()
    time_first = TimeFirst().eval()
    time_first.layers = time_first.layers[:3]
    for wrapper, layer in zip(samples_first, time_first.layers, strict=True):
        wrapper.module.load_state_dict(layer.state_dict())
    one = layer_lipschitz(samples_first, SEQUENCES, [f"{index}.module" for index in range(3)])
    other = layer_lipschitz(time_first, SEQUENCES, [f"layers.{index}" for index in range(3)])
    assert len(one.steps) == len(other.steps) == 5
    for first, second in zip(one.steps.values(), other.steps.values(), strict=True):
        assert second.max == pytest.approx(first.max, rel=0.02)


def time_first_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(D, 2, 16, batch_first=False)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()


def test_a_batch_with_its_samples_second_is_skipped_with_the_reason() -> None:
    model, batch = time_first_encoder(), SEQUENCES.transpose(0, 1)
    metric = TopoLipMetric()
    with torch.no_grad():
        expected = model(batch)
        with pytest.warns(UserWarning, match="skips a pass: .* must have its samples first"), metric.attach(model):
            output = model(batch)
    assert torch.equal(output, expected)
    assert metric.update_count == 0


@pytest.mark.parametrize("method", ["draw", "fitting", "add"])
def test_an_error_of_an_attached_metric_does_not_reach_the_forward(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise MemoryError("no room")

    model = nn.Sequential(nn.Linear(D, D), nn.ReLU(), nn.Linear(D, 4)).eval()
    metric = TopoLipMetric()
    monkeypatch.setattr(metric._sample, method, broken)
    with pytest.warns(UserWarning, match="skips a pass: no room"), metric.attach(model):
        output = model(SEQUENCES[:, 0])
    assert torch.equal(output, model(SEQUENCES[:, 0]))
    monkeypatch.undo()
    with torch.no_grad(), metric.attach(model):
        model(SEQUENCES[:, 0])
    assert np.isfinite(float(metric.compute()))
