"""The map of layers and epochs and the diagrams show the numbers they get."""

import numpy as np
import pytest
from helpers.clouds import cloud_history, cloud_report

from lightning_topolip.display.plots import diagrams_figure, epoch_map_figure
from lightning_topolip.topology.history import History


def test_the_map_holds_every_layer_at_every_step() -> None:
    run = cloud_history(4)
    (mesh,) = epoch_map_figure(run).axes[0].collections
    values = np.asarray(mesh.get_array())
    assert values.shape == (3, 4)
    assert values[:, 1].tolist() == [moved["network.blocks.1"] for moved in run.epoch_drifts[1:]]


def test_one_large_epoch_leaves_the_others_their_colours() -> None:
    run = cloud_history(5)
    for rows, factor in zip(run.epoch_drifts[1:], (100.0, 1.0, 2.0, 0.0), strict=True):
        rows.update(dict.fromkeys(rows, 0.01 * factor))
    (mesh,) = epoch_map_figure(run).axes[0].collections
    first, second, third, still = (colours[0].tolist() for colours in mesh.to_rgba(mesh.get_array()))
    assert np.abs(np.subtract(second, third)).max() > 0.08
    assert np.abs(np.subtract(first, third)).max() > 0.3
    assert still == list(mesh.cmap(0.0))


def test_the_names_of_layers_lose_what_they_share() -> None:
    run = cloud_history(2)
    axes = epoch_map_figure(run).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "2", "3"]
    assert axes.get_xlabel() == "layer network.blocks.*"
    figure = diagrams_figure(cloud_report(0), epoch=7.0)
    assert [axes.get_title() for axes in figure.axes] == ["layer 0", "layer 2", "layer 3"]
    assert figure.get_supxlabel().endswith("layers network.blocks.*")


def test_all_diagrams_of_a_figure_have_one_scale_and_say_when() -> None:
    report = cloud_report(0)
    figure = diagrams_figure(report, epoch=7.0)
    ((low, high),) = {axes.get_xlim() for axes in figure.axes} | {axes.get_ylim() for axes in figure.axes}
    shown = [layer.view("scaled") for layer in (report.topology[1], report.topology[3], report.topology[4]) if layer]
    largest = max(points.max() for diagrams in shown for points in diagrams.values())
    assert low < 0 < largest < high < 1.2 * largest
    assert figure.get_suptitle() == "Persistence diagrams after 7 epochs"


def test_a_layer_without_a_diagram_says_so() -> None:
    figure = diagrams_figure(cloud_report(0, missing=("network.blocks.2",)))
    assert [text.get_text() for text in figure.axes[1].texts] == ["no scaled diagram"]
    assert not figure.axes[1].collections


def test_diagrams_of_some_layers() -> None:
    analysis = cloud_report(0)
    figure = diagrams_figure(analysis, ["network.blocks.1"])
    (axes,) = figure.axes
    shown = np.asarray(axes.collections[0].get_offsets())
    assert analysis.topology[2] is not None
    assert shown == pytest.approx(analysis.topology[2].view("scaled")[0])
    assert len(diagrams_figure(analysis).axes) == 3


def test_diagrams_of_a_layer_that_was_not_analysed_raise() -> None:
    with pytest.raises(ValueError, match="must name analysed layers"):
        diagrams_figure(cloud_report(0), ["elsewhere"])


def test_drifts_are_per_epoch_however_many_epochs_apart() -> None:
    slow, fast = (History(), History())
    for run, epoch in ((slow, 3.0), (fast, 1.0)):
        run.add(0.0, cloud_report(0))
        run.add(epoch, cloud_report(1))
    for layer, drift in slow.epoch_drifts[1].items():
        assert drift * 3 == pytest.approx(fast.epoch_drifts[1][layer])
