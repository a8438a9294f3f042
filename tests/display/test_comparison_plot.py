"""The figure of a comparison shows both curves and their differences."""

import numpy as np
import pytest
from helpers.clouds import NAMES, cloud_report
from matplotlib.collections import PolyCollection

from lightning_topolip.display.plots import comparison_figure
from lightning_topolip.topology.comparison import compare

OTHERS = ("<input>", "layer1.0", "layer2.0", "layer3.0")


def test_both_curves_and_below_them_their_difference() -> None:
    first, second = cloud_report(0), cloud_report(1)
    comparison = compare(first, second)
    figure = comparison_figure(comparison, ("old", "new"))
    entry, scored, entry_difference, difference = figure.axes
    assert [line.get_ydata().tolist() for line in scored.lines] == [r.curve[1:].tolist() for r in (first, second)]
    assert [line.get_ydata().tolist() for line in entry.lines] == [r.curve[:1].tolist() for r in (first, second)]
    assert difference.lines[0].get_ydata() == pytest.approx(first.curve[1:] - second.curve[1:])
    assert entry_difference.lines[0].get_ydata() == pytest.approx(first.curve[:1] - second.curve[:1])
    (band,) = (shape for shape in difference.collections if isinstance(shape, PolyCollection))
    corners = band.get_paths()[0].vertices
    halves = first.part_curves[..., 2] - second.part_curves[..., 2]
    error = np.sqrt(np.mean((halves[:, 0] - halves[:, 1]) ** 2)) / 2
    assert np.ptp(corners[corners[:, 0] == 1, 1]) == pytest.approx(4 * error)
    assert [text.get_text().split(":")[0] for text in figure.legends[0].get_texts()] == ["old", "new"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["drift per sample"] * 2 + ["old - new"] * 2
    for axes in (difference, entry_difference):
        assert list(axes.lines[1].get_ydata()) == [0, 0]


def test_without_a_common_step_both_stand_over_the_relative_depth() -> None:
    entry, scored = comparison_figure(compare(cloud_report(0), cloud_report(1, OTHERS))).axes
    assert [line.get_xdata().tolist() for line in scored.lines] == [[0, 0.5, 1], [0, 1]]
    assert scored.get_xlabel() == "relative depth"
    assert len(entry.lines) == 2


def test_a_common_step_from_the_input_alone_is_no_common_axis() -> None:
    comparison = compare(cloud_report(0), cloud_report(1, (*NAMES[:2], "layer1.0", "layer2.0")))
    assert list(comparison.steps) == [NAMES[1]]
    assert len(comparison_figure(comparison).axes) == 2


def test_a_step_that_only_one_has_is_a_gap_of_the_difference() -> None:
    figure = comparison_figure(compare(cloud_report(0), cloud_report(1, NAMES[:3])))
    _, scored, _, difference = figure.axes
    assert [np.isfinite(line.get_ydata()).sum() for line in scored.lines] == [3, 1]
    assert np.isfinite(difference.lines[0].get_ydata()).tolist() == [True, False, False]


def test_a_network_whose_input_has_no_distances() -> None:
    figure = comparison_figure(compare(cloud_report(0, NAMES[1:]), cloud_report(1)))
    entry, _, entry_difference, difference = figure.axes
    assert [len(line.get_ydata()) for line in entry.lines] == [0, 1]
    assert [text.get_text() for text in difference.get_xticklabels()] == ["1", "2", "3"]
    assert not entry_difference.get_visible()
    assert difference.get_ylabel() == "first - second"
