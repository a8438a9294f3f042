"""Smoothness over training."""

from __future__ import annotations

import math

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section
from lightning_topolip.report.curves import Curve, curves, describe
from lightning_topolip.report.figures.path import path
from lightning_topolip.report.lines import lines
from lightning_topolip.report.source import Source
from lightning_topolip.report.tables.accuracy import VALIDATION
from lightning_topolip.report.tables.forms import forms_table
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import HEADLINE
from lightning_topolip.topology.names import INPUT

_UNIT = "W2, in units of the layer's mean distance"
_QUANTITIES = {
    "topolip": ("TopoLip: how unevenly data travel", f"TopoLip ({_UNIT})"),
    "speed_mean": ("Mean speed: how far a layer moves data", f"mean drift ({_UNIT})"),
    "speed_max": ("Largest speed: the farthest step", f"largest drift ({_UNIT})"),
    "epoch_drift": ("Epoch drift: how far an epoch moves a layer", f"drift an epoch, mean over layers ({_UNIT})"),
    "accuracy": ("Validation accuracy", "accuracy, validation"),
}
_INTRO = (
    "TopoLip is the mean absolute change of the drift from one layer to the next: lower is smoother. Models learn at "
    "different rates, so the last panel sets TopoLip against accuracy: models compare where they are equally accurate."
)


def training(source: Source) -> Section:
    """Show the scores and the accuracy against epochs, and against each other.

    Args:
        source: The study.

    Returns:
        A gallery a data set.
    """
    blocks: list[Block] = []
    for data in source.data:
        found = {name: curves(_rows(source, data, name), lambda row: row.epoch, source.models) for name in _QUANTITIES}
        panels = [_panel(source, data, name, found[name]) for name in _QUANTITIES if found[name]]
        if _shared(found["accuracy"], found["topolip"]):
            panels.append(_path(source, data, found["accuracy"], found["topolip"]))
        if panels:
            blocks.append(Gallery(panels, data))
    table = forms_table(source)
    if table:
        blocks.append(table)
    missing = [Note("These results hold no scores over training.")]
    return Section("training", "Smoothness over training", _INTRO, blocks or missing)


def _rows(source: Source, data: str, quantity: str) -> Results:
    if quantity == "accuracy":
        return source.find(data, quantity, condition=VALIDATION)
    rows = source.find(data, quantity, variant=HEADLINE)
    return Results(row for row in rows if row.layer != INPUT and not math.isnan(row.value))


def _panel(source: Source, data: str, quantity: str, found: list[Curve]) -> Panel:
    title, y = _QUANTITIES[quantity]
    share = quantity == "accuracy"
    figure = lines(found, source.looks, f"{title}{source.of_data(data)}", "epochs trained", y, share=share)
    return Panel(figure, describe(found, "epochs", f"{title}{source.of_data(data)}"))


def _path(source: Source, data: str, accuracies: list[Curve], scores: list[Curve]) -> Panel:
    title = f"TopoLip at equal accuracy{source.of_data(data)}"
    figure = path(accuracies, scores, source.looks, title, "accuracy, validation", f"TopoLip ({_UNIT})")
    return Panel(
        figure, f"{title}. {describe(accuracies, 'epochs', 'Accuracy')} {describe(scores, 'epochs', 'TopoLip')}"
    )


def _shared(first: list[Curve], second: list[Curve]) -> bool:
    places = {curve.model: set(curve.x.tolist()) for curve in first}
    return any(places.get(curve.model, set()) & set(curve.x.tolist()) for curve in second)
