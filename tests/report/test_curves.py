"""Curves and the line charts made of them."""

import math

import numpy as np
import pytest

from lightning_topolip.report.blocks import Gallery
from lightning_topolip.report.curves import curves
from lightning_topolip.report.lines import lines
from lightning_topolip.report.palette import styles
from lightning_topolip.study.judging.results import Row


def test_a_curve_is_the_mean_over_its_seeds_with_their_range() -> None:
    values = {0: (1.0, 4.0), 1: (3.0, math.nan), 2: (5.0, 8.0)}
    rows = [
        Row("digits", "vit", seed, float(epoch), "topolip", "scaled W2", "", "", 0.0, value)
        for seed, over_epochs in values.items()
        for epoch, value in enumerate(over_epochs)
    ]
    [curve] = curves(rows, lambda row: row.epoch, ["resnet", "vit"])
    assert curve.seeds == (0, 1, 2)
    assert curve.mean.tolist() == [3.0, 6.0]
    assert curve.low.tolist() == [1.0, 4.0]
    assert curve.high.tolist() == [5.0, 8.0]


def test_known_errors_make_the_band_and_seeds_count_by_their_mean_square() -> None:
    rows = [
        Row("digits", "vit", seed, 1.0, "topolip", "scaled W2", "", "", 0.0, value, error)
        for seed, (value, error) in enumerate([(1.0, 0.3), (3.0, 0.4), (5.0, math.nan)])
    ]
    [curve] = curves(rows, lambda row: row.epoch, ["vit"])
    half = 2 * math.sqrt((0.3**2 + 0.4**2) / 2)
    assert (curve.low[0], curve.high[0]) == (3.0 - half, 3.0 + half)
    assert curve.band == "two standard errors"


def test_a_mean_over_layers_has_no_error() -> None:
    rows = [Row("digits", "vit", 0, 1.0, "epoch_drift", "", layer, "", 0.0, 1.0, 0.1) for layer in ("a", "b")]
    [curve] = curves(rows, lambda row: row.epoch, ["vit"])
    assert curve.band == ""


def test_lines_show_the_numbers_and_name_the_models() -> None:
    rows = [
        Row("digits", model, seed, epoch, "topolip", "scaled W2", "", "", 0.0, place + 0.1 * seed + epoch)
        for place, model in enumerate(("vit", "resnet"))
        for seed in (0, 1)
        for epoch in (0.0, 1.0)
    ]
    of_models = curves(rows, lambda row: row.epoch, ["vit", "resnet"])
    panel = lines(of_models, styles(["vit", "resnet"]), "Title", "epochs", "TopoLip")
    assert panel is not None
    axes = panel.figure.axes[0]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    for curve in of_models:
        assert curve.mean.tolist() in drawn
        assert all(seed.tolist() in drawn for seed in curve.values)
    assert {note.get_text() for note in axes.texts} == {"vit", "resnet"}


def test_many_first_points_beyond_the_scale_are_one_range() -> None:
    names = ["vit", "resnet", "conv"]
    rows = [
        Row("digits", name, 0, float(step), "drift", "", "", "", 0.0, 1.0 + step + place if step else 50.0 + place)
        for place, name in enumerate(names)
        for step in range(4)
    ]
    panel = lines(curves(rows, lambda row: row.epoch, names), styles(names), "Title", "x", "y", apart=True)
    assert panel is not None
    axes = panel.figure.axes[0]
    assert "\N{UPWARDS ARROW} 50.0 to 52.0" in [note.get_text() for note in axes.texts]
    assert axes.get_ylim()[1] < 10


def test_models_with_the_same_end_are_named_above_their_gallery() -> None:
    rows = [Row("digits", m, 0, e, "topolip", "", "", "", 0.0, 1.0) for m in ("vit", "resnet") for e in (0.0, 1.0)]
    panel = lines(curves(rows, lambda row: row.epoch, ["vit", "resnet"]), styles(["vit", "resnet"]), "", "", "")
    assert panel is not None
    assert not panel.figure.axes[0].texts
    assert list(Gallery([panel, panel]).keys) == ["vit", "resnet"]


def test_models_differ_in_colour_and_marker() -> None:
    seven = styles([f"model {index}" for index in range(7)]).values()
    assert len({style.colour for style in seven}) == len({style.marker for style in seven}) == 7


@pytest.mark.parametrize(("models", "lines_of_each", "bands"), [(4, 3, 4), (5, 1, 5), (8, 1, 8), (9, 1, 0), (18, 1, 0)])
def test_many_models_are_drawn_with_less(models: int, lines_of_each: int, bands: int) -> None:
    names = [f"model {index}" for index in range(models)]
    rows = [
        Row("digits", name, seed, float(epoch), "topolip", "", "", "", 0.0, place + 0.1 * seed + epoch, 0.1)
        for place, name in enumerate(names)
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    panel = lines(curves(rows, lambda row: row.epoch, names), styles(names), "Title", "x", "y")
    assert panel is not None
    axes = panel.figure.axes[0]
    assert (len(axes.lines), len(axes.patches)) == (models * lines_of_each, bands)
    named = {*panel.keys, *(note.get_text() for note in axes.texts)}
    assert named == set(names)
    drawn = styles(names).values()
    assert len({(style.colour, style.marker) for style in drawn}) == models
