"""The smoothness figure shows the curves, their errors and no more than a dozen of them."""

import math
import re

import numpy as np
import pytest
from helpers.clouds import NAMES, cloud_history, cloud_report
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lightning_topolip.display.layer_axis import axis_label, common_prefix, name_layers
from lightning_topolip.display.plots import (
    comparison_figure,
    diagrams_figure,
    epoch_map_figure,
    highest_drift,
    report_figure,
    smoothness_figure,
)
from lightning_topolip.topology.comparison import compare
from lightning_topolip.topology.history import History
from lightning_topolip.topology.smoothness_report import SmoothnessReport


def values(line: object) -> list[float]:
    return np.asarray(line.get_ydata(), dtype=float).tolist()  # type: ignore[attr-defined]


def bands(axes: Axes) -> list[PolyCollection]:
    return [shape for shape in axes.collections if isinstance(shape, PolyCollection)]


def bars(axes: Axes) -> list[LineCollection]:
    return [shape for shape in axes.collections if isinstance(shape, LineCollection) and len(shape.get_segments())]


def ends(band: PolyCollection, place: int) -> list[float]:
    """The lower and upper end of a band at a place."""
    corners = np.concatenate([path.vertices for path in band.get_paths()])
    heights = corners[corners[:, 0] == place, 1]
    return [heights.min(), heights.max()]


def names_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_xticklabels()]


def made_up(epochs: int, report: SmoothnessReport) -> History:
    """A history whose epoch number e has the drifts of a report plus e."""
    curve = dict(zip(report.layers[1:], report.curve.tolist(), strict=True))
    errors = dict(zip(report.layers[1:], report.curve_error.tolist(), strict=True))
    return History(
        epochs=[float(epoch) for epoch in range(epochs)],
        optimizer_steps=list(range(epochs)),
        curves=[{layer: drift + epoch for layer, drift in curve.items()} for epoch in range(epochs)],
        curve_errors=[errors] * epochs,
        epoch_drifts=[{}] * epochs,
        last=report,
    )


def test_every_analysis_is_a_line_and_the_latest_has_a_band_of_two_errors_on_either_side() -> None:
    run = cloud_history()
    entry, scored, *_ = smoothness_figure(run).axes
    assert [values(line) for line in scored.lines] == [list(curve.values())[1:] for curve in run.curves]
    assert [values(line) for line in entry.lines] == [[curve[NAMES[1]]] for curve in run.curves]
    curve, errors = run.curves[-1], run.curve_errors[-1]
    (band,) = bands(scored)
    for place, layer in enumerate(NAMES[2:]):
        reach = 2 * errors[layer]
        assert ends(band, place) == pytest.approx([curve[layer] - reach, curve[layer] + reach])
    (bar,) = bars(entry)
    low, high = bar.get_segments()[0][:, 1]
    assert (high + low) / 2 == pytest.approx(curve[NAMES[1]])
    assert (high - low) / 4 == pytest.approx(errors[NAMES[1]])


def test_from_three_analyses_on_a_map_shows_all_of_them_over_the_same_layers() -> None:
    run = made_up(40, cloud_report(0))
    run.curves[7][NAMES[3]] = math.nan
    _, scored, below, *_ = smoothness_figure(run).axes
    (mesh,) = below.collections
    assert isinstance(mesh, QuadMesh)
    drifts = np.ma.filled(mesh.get_array(), math.nan)
    assert drifts == pytest.approx(np.array([list(curve.values())[1:] for curve in run.curves]), nan_ok=True)
    assert scored.get_shared_x_axes().joined(scored, below)
    assert names_of(below) == ["1", "2", "3"]
    assert below.get_ylim() == (-0.5, 39.5)
    assert len(smoothness_figure(made_up(2, cloud_report(0))).axes) == 3
    one_place = made_up(3, cloud_report(0))
    one_place.epochs[2] = 1.0
    (mesh,) = smoothness_figure(one_place).axes[2].collections
    assert np.asarray(mesh.get_array())[1].tolist() == list(one_place.curves[2].values())[1:]


def test_the_step_from_the_input_does_not_colour_the_map() -> None:
    run = made_up(3, cloud_report(0))
    for curve in run.curves:
        curve[NAMES[1]] *= 1000
    (mesh,) = smoothness_figure(run).axes[2].collections
    assert mesh.norm.vmax == max(max(list(curve.values())[1:]) for curve in run.curves)


@pytest.mark.parametrize("analyses", [1, 6, 100])
@pytest.mark.parametrize("layers", [4, 12, 60])
def test_everything_is_inside_of_the_picture_and_nothing_lies_upon_the_curves(layers: int, analyses: int) -> None:
    names = ("<input>", *(f"model.encoder_blocks.{index}" for index in range(layers)))
    figure = smoothness_figure(made_up(analyses, cloud_report(0, names, halvings=0)))
    check_layout(figure)


def check_layout(figure: Figure) -> None:
    figure.canvas = FigureCanvasAgg(figure)
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height
    panels = [axes.get_window_extent() for axes in figure.axes]
    texts = [axes.title for axes in figure.axes] + [axes._left_title for axes in figure.axes]
    texts += [axes.xaxis.label for axes in figure.axes]
    for text in filter(lambda text: text.get_text(), texts):
        assert not any(text.get_window_extent().overlaps(panel) for panel in panels), text


@pytest.mark.parametrize("layers", [4, 60])
def test_so_it_is_in_the_other_pictures(layers: int) -> None:
    names = ("<input>", *(f"model.encoder_blocks.{index}" for index in range(layers)))
    report = cloud_report(0, names, halvings=0)
    run = History()
    run.add(0.0, report)
    run.add(1.0, cloud_report(1, names, halvings=0))
    check_layout(epoch_map_figure(run))
    check_layout(diagrams_figure(report, epoch=2.0))
    check_layout(comparison_figure(compare(report, cloud_report(1, names, halvings=0))))


def test_the_latest_curve_is_thickest_and_darkest_and_on_top() -> None:
    _, scored, *_ = smoothness_figure(cloud_history(4)).axes
    *earlier, latest = scored.lines
    brightness = [sum(to_rgb(line.get_color())) for line in scored.lines]
    assert min(brightness[:-1]) > brightness[-1]
    assert max(brightness) < 2.1
    assert len(set(brightness)) == 4
    assert latest.get_linewidth() > max(line.get_linewidth() for line in earlier)
    assert latest.get_zorder() > max(line.get_zorder() for line in earlier)


def test_of_many_analyses_a_dozen_are_drawn_evenly_spread() -> None:
    report = cloud_report(0)
    _, scored, *_ = smoothness_figure(made_up(100, report)).axes
    epochs = [values(line)[0] - report.curve[1] for line in scored.lines]
    assert epochs == pytest.approx([0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99])


def test_the_step_from_the_input_has_its_own_scale_unless_it_is_scored() -> None:
    run = made_up(1, cloud_report(0))
    for rows in (run.curves, run.curve_errors):
        rows[0][NAMES[1]] *= 100
    entry, scored = smoothness_figure(run).axes
    assert entry.get_ylim()[1] > run.curves[0][NAMES[1]] > 10 * scored.get_ylim()[1]
    assert (names_of(entry), names_of(scored)) == (["0"], ["1", "2", "3"])
    assert entry.get_ylabel() == scored.get_ylabel() == "drift per sample"
    (together,) = report_figure(cloud_report(0, include_input=True)).axes
    assert names_of(together) == ["0", "1", "2", "3"]
    (tokens,) = report_figure(cloud_report(0, NAMES[1:])).axes
    assert names_of(tokens) == ["1", "2", "3"]


def test_a_layer_that_could_not_be_measured_is_a_gap_and_a_step_alone_has_a_bar() -> None:
    run = History()
    run.add(0.0, cloud_report(0, missing=(NAMES[3],)))
    _, scored = smoothness_figure(run).axes
    assert np.isnan(values(scored.lines[0])).tolist() == [False, True, True]
    (bar,) = bars(scored)
    assert [segment[:, 0].tolist() for segment in bar.get_segments()] == [[0, 0]]


def test_a_layer_that_only_one_analysis_saw_has_its_place() -> None:
    run = History()
    run.add(0.0, cloud_report(0, NAMES[:3] + NAMES[4:]))
    run.add(1.0, cloud_report(1))
    _, scored, *_ = smoothness_figure(run).axes
    assert names_of(scored) == ["1", "2", "3"]
    assert np.isnan(values(scored.lines[0])).tolist() == [False, True, False]


def test_without_errors_there_is_no_band() -> None:
    figure = report_figure(cloud_report(0, halvings=0))
    entry, scored = figure.axes
    assert not bands(scored)
    assert not bars(entry)
    assert "two standard errors" not in scored.get_title(loc="left")
    assert "±" not in figure.get_suptitle()


def test_the_title_has_the_score_with_its_error_and_the_signal() -> None:
    report = cloud_report(0)
    title = report_figure(report).get_suptitle()
    parts = re.fullmatch(r"TopoLip (.+) ± (.+), signal (.+)", title)
    assert parts is not None
    score, error, signal = map(float, parts.groups())
    assert score == pytest.approx(report.score, abs=report.score_error)
    assert error == pytest.approx(report.score_error, rel=0.05)
    assert signal == pytest.approx(report.signal, rel=0.05)
    assert smoothness_figure(cloud_history(2)).get_suptitle().endswith(", after 1 epoch")


def test_two_pictures_share_a_scale() -> None:
    runs = [cloud_history(1), made_up(3, cloud_report(5))]
    highest = max(runs[1].curves[-1][name] + 2 * runs[1].curve_errors[-1][name] for name in NAMES[2:])
    assert highest_drift(runs[1]) == pytest.approx(highest)
    assert [smoothness_figure(run, top=highest).axes[1].get_ylim() for run in runs] == [(0, highest)] * 2
    assert math.isnan(highest_drift(made_up(1, cloud_report(0, NAMES[:2]))))


def test_a_run_without_analysis_raises() -> None:
    with pytest.raises(ValueError, match="at least one analysis, got none"):
        smoothness_figure(History())


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (["network.blocks.0", "network.blocks.11"], "network.blocks."),
        (["network.layer1.0", "network.layer2.0"], "network."),
        (["encoder.layer_0.mlp", "encoder.layer_1.mlp", "<output>"], "encoder.layer_"),
        (["blocks.0"], "blocks."),
        (["stage_1", "stage_10"], "stage_"),
        (["stage_", "stage_1"], ""),
        (["stem", "head"], ""),
        ([], ""),
    ],
)
def test_what_all_names_share_is_left_out(names: list[str], prefix: str) -> None:
    assert common_prefix(names) == prefix


def test_a_long_prefix_leaves_room() -> None:
    assert axis_label("encoder.") == "to layer encoder.*"
    assert axis_label("backbone.transformer." * 8) == "to layer backbone.transform…bone.transformer.*"


@pytest.mark.parametrize(("layers", "drawn"), [(4, 4), (12, 12), (24, 12), (60, 15), (1000, 12)])
def test_names_never_overlap(layers: int, drawn: int) -> None:
    axes = smoothness_figure(cloud_history(1)).axes[1]
    name_layers(axes, [f"blocks.{index}" for index in range(layers)], "blocks.")
    labels = names_of(axes)
    assert labels[0] == "0"
    assert len(labels) == drawn
    assert sum(len(label) + 1 for label in labels) <= 46
