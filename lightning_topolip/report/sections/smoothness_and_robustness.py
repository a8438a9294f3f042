"""Smoothness against robustness."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section
from lightning_topolip.report.curves import curves
from lightning_topolip.report.frame import SIZE, frame, legend, name_axes
from lightning_topolip.report.lines import lines
from lightning_topolip.report.palette import FAINT, INK, Style, styles
from lightning_topolip.report.sections.robustness import accuracy_curves, strength_axis
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.averages import model_means
from lightning_topolip.study.judging.formats import MINUS, RHO, number
from lightning_topolip.study.judging.names import condition_name
from lightning_topolip.study.judging.statistics import spearman
from lightning_topolip.study.judging.summaries import HEADLINE
from lightning_topolip.study.judging.wording import counted
from lightning_topolip.topology.names import INPUT

_DROPS = {"corruption_drop": "corruption", "attack_drop": "attack"}
_RESPONSES = {
    "perturbation_displacement": "displacement (W2 per sample, in units of the mean distance), mean over layers",
    "perturbation_gain": "gain: drift of a layer / drift of the input, mean over layers",
}
_INPUT_LABEL = "the input itself"
_INTRO = (
    "Every point is a run; the rank correlation counts every model once, as the mean of its seeds. A drop is the clean "
    "accuracy minus the perturbed one: lower is more robust. If smoothness made models robust, points would rise to "
    "the right, within a data set and also within a model. Below: how far a perturbation of the probe moves the "
    "diagrams of the layers, next to its effect on the accuracy."
)


class Point(NamedTuple):
    """A run in the scatter plot; `y` is a share."""

    data: str
    model: str
    x: float
    y: float


def smoothness_and_robustness(source: Source) -> Section:
    """Show the score of every run against its drops, and the response of the layers to perturbations."""
    scatters = [panel for drop in _DROPS if (panel := _scatter(source, drop))]
    blocks: list[Block] = [Gallery(scatters, "TopoLip against the cost of perturbations")] if scatters else []
    for data in source.data:
        panels = _perturbations(source, data)
        if panels:
            blocks.append(Gallery(panels, f"{data}: along perturbations"))
    missing = [Note("These results hold no robustness to compare smoothness with.")]
    title = "Does smoothness go with robustness?"
    return Section("smoothness-and-robustness", title, _INTRO, blocks or missing)


def _scatter(source: Source, drop: str) -> Panel | None:
    points = [Point(key.data, key.model, run["topolip"], run[drop]) for key, run in source.summaries.items()]
    points = [point for point in points if math.isfinite(point.x) and math.isfinite(point.y)]
    if not points:
        return None
    notes = {data: _correlation(source, data, drop) for data in source.data}
    title = f"TopoLip and the accuracy lost to {_DROPS[drop]}"
    x = "TopoLip at the last epoch (W2 per sample, scaled)"
    y = f"clean accuracy {MINUS} accuracy under {_DROPS[drop]}"
    figure = scatter_figure(points, source.styles, styles(source.data), notes, title, x, y)
    alt = f"{title}. " + " ".join(f"{data}: {note}." for data, note in notes.items() if note)
    return Panel(figure, alt, {model: source.styles[model] for model in dict.fromkeys(point.model for point in points)})


def _correlation(source: Source, data: str, drop: str) -> str:
    runs = {key: numbers for key, numbers in source.summaries.items() if key.data == data}
    means = model_means(runs, ("topolip", drop))
    if not means:
        return ""
    rho, low, high, pairs = spearman([x for x, _ in means.values()], [y for _, y in means.values()])
    models = counted(pairs, "model")
    if not math.isfinite(low):
        return f"no rank correlation, {models}"
    return f"Spearman {RHO} = {number(rho, 2)} [{number(low, 2)}, {number(high, 2)}], {models}"


def _perturbations(source: Source, data: str) -> list[Panel]:
    """Return pairs of panels, response and accuracy of a perturbation, then the panels without a partner."""
    quantity = next((name for name in _RESPONSES if len(source.last.find(data, name))), "")
    conditions = source.last.find(data, quantity).unique("condition")
    pairs = [(_response(source, data, quantity, name), _accuracy(source, data, name)) for name in conditions]
    return [panel for pair in sorted(pairs, key=lambda pair: not all(pair)) for panel in pair if panel]


def _response(source: Source, data: str, quantity: str, condition: str) -> Panel | None:
    rows = source.last.find(data, quantity, condition=condition)
    layers = [row for row in rows if row.layer != INPUT and not math.isnan(row.value)]
    drawn, line_styles = curves(layers, lambda row: row.strength, source.models), dict(source.styles)
    if drawn and quantity == "perturbation_displacement" and condition != "pgd":
        model = drawn[0].model
        of_input = rows.where(layer=INPUT, model=model, variant=HEADLINE)
        drawn += [replace(curve, model=_INPUT_LABEL) for curve in curves(of_input, lambda row: row.strength, [model])]
        line_styles[_INPUT_LABEL] = Style(FAINT, "", (0, (2, 2)))
    title = f"How far {condition_name(condition)} moves the layers{source.title_suffix(data)}"
    return lines(drawn, line_styles, title, _axis(condition), _RESPONSES[quantity])


def _accuracy(source: Source, data: str, condition: str) -> Panel | None:
    title = f"Accuracy under {condition_name(condition)}{source.title_suffix(data)}"
    accuracies = accuracy_curves(source, data, [condition])
    return lines(accuracies, source.styles, title, _axis(condition), "accuracy, test", share=True)


def _axis(condition: str) -> str:
    return f"{condition_name(condition)}: {strength_axis(condition)}"


def scatter_figure(
    points: Sequence[Point],
    model_styles: Mapping[str, Style],
    data_styles: Mapping[str, Style],
    notes: Mapping[str, str],
    title: str,
    x: str,
    y: str,
) -> Figure:
    """Draw runs as points; colours are models, markers are data sets if there are several, else models too.

    The legend has a note per data set.
    """
    several = len({point.data for point in points}) > 1
    note = "colour: model, shape: data set" if several else "colour and shape: model"
    figure, axes = frame(title, f"one point per run; {note}", (SIZE[0], 3.4))
    for point in points:
        axes.scatter(
            point.x,
            point.y,
            s=42,
            color=model_styles[point.model].colour,
            marker=(data_styles[point.data] if several else model_styles[point.model]).marker,
            edgecolors="white",
            linewidths=0.6,
            alpha=0.9,
        )
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    name_axes(axes, x, y)
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=data_styles[data].marker if several else "",
            color=INK,
            mfc="none",
            label=f"{data}: {notes[data]}",
        )
        for data in dict.fromkeys(point.data for point in points)
    ]
    legend(figure, handles, columns=1)
    return figure
