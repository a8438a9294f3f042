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
    assert values.shape == (4, 3)
    assert values[1].tolist() == [moved["network.blocks.1"] for moved in run.epoch_drifts[1:]]


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
