"""Figures show the numbers they get."""

import math

import numpy as np
import pytest
import torch

from lightning_topolip.display.plots import diagrams_figure, epoch_map_figure, smoothness_figure
from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.topology.history import History
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import SmoothnessReport, smoothness_report

NAMES = ("<input>", "network.blocks.0", "network.blocks.1", "network.blocks.2")


def report(seed: int, missing: str = "", **settings: object) -> SmoothnessReport:
    generator = torch.Generator().manual_seed(seed)
    clouds = {name: torch.randn(16, 3, generator=generator) for name in NAMES}
    matrices = {name: None if name == missing else distance_matrix(cloud).numpy() for name, cloud in clouds.items()}
    return smoothness_report(Measurement(matrices), Settings(**settings))  # type: ignore[arg-type]


def history(analyses: int = 3, **settings: object) -> History:
    run = History()
    for epoch in range(analyses):
        run.add(float(epoch), report(epoch, **settings))
    return run


def test_one_line_per_epoch_with_the_values_of_the_curve() -> None:
    run = history()
    figure = smoothness_figure(run)
    upper, lower = figure.axes[:2]
    assert len(upper.lines) == 3
    for line, curve in zip(upper.lines, run.curves, strict=True):
        assert np.asarray(line.get_ydata()).tolist() == list(curve.values())
    assert len({str(line.get_color()) for line in upper.lines}) == 3
    assert [text.get_text() for text in lower.get_xticklabels()] == ["blocks.0", "blocks.1", "blocks.2"]
    assert run.last is not None
    assert lower.lines[0].get_ydata() == pytest.approx(np.median(run.last.noise.noise, axis=0))


def test_a_missing_layer_is_a_gap() -> None:
    run = History()
    run.add(0.0, report(0, missing=NAMES[2]))
    line = np.asarray(smoothness_figure(run).axes[0].lines[0].get_ydata(), dtype=float)
    assert np.isnan(line).tolist() == [False, True, True]


def test_without_noise_the_figure_says_so() -> None:
    lower = smoothness_figure(history(noise_splits=0)).axes[1]
    assert "no noise band" in lower.get_title()


def test_the_map_holds_every_layer_at_every_step() -> None:
    run = history(4)
    (mesh,) = epoch_map_figure(run).axes[0].collections
    values = np.asarray(mesh.get_array())
    assert values.shape == (3, 3)
    assert values[1].tolist() == [moved["network.blocks.1"] for moved in run.epoch_drifts[1:]]


def test_diagrams_of_some_layers() -> None:
    analysis = report(0)
    figure = diagrams_figure(analysis, ["network.blocks.1"])
    (axes,) = figure.axes
    shown = np.asarray(axes.collections[0].get_offsets())
    assert analysis.topology[2] is not None
    assert shown == pytest.approx(analysis.topology[2].view("scaled")[0])
    assert len(diagrams_figure(analysis).axes) == 3


def test_a_figure_without_analysis_or_layer_raises() -> None:
    with pytest.raises(ValueError, match="at least one analysis, got none"):
        smoothness_figure(History())
    with pytest.raises(ValueError, match="must name analysed layers"):
        diagrams_figure(report(0), ["elsewhere"])


def test_drifts_are_per_epoch_however_many_epochs_apart() -> None:
    run = History()
    run.add(0.0, report(0))
    assert run.add(3.0, report(1))["network.blocks.0"] * 3 == pytest.approx(
        History([0.0], [{}], [{}], report(0)).add(1.0, report(1))["network.blocks.0"]
    )
    assert not math.isnan(run.epoch_drifts[1]["network.blocks.2"])
