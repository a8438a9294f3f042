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
from lightning_topolip.report.curves import curves, describe
from lightning_topolip.report.formats import MINUS, RHO, condition_name, number
from lightning_topolip.report.frame import SIZE, frame, legend, name_axes
from lightning_topolip.report.lines import lines
from lightning_topolip.report.palette import FAINT, INK, Look, looks
from lightning_topolip.report.sections.robustness import accuracy_curves, strength_axis
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.averages import model_means
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.statistics import spearman
from lightning_topolip.study.judging.summaries import HEADLINE
from lightning_topolip.study.judging.verdicts import counted
from lightning_topolip.topology.names import INPUT

_DROPS = {"corruption_drop": "corruption", "attack_drop": "attack"}
_PATHS = {
    "perturbation_displacement": "displacement (W2, in units of the scale), mean over layers",
    "perturbation_gain": "gain: drift of a layer / drift of the input, mean over layers",
}
_ITSELF = "the input itself"
_INTRO = (
    "Every run a point; the rank correlation takes every model once, as the mean of its seeds. A drop is the clean "
    "accuracy less the perturbed one: lower is more robust. If smoothness made robust, points would rise to the right, "
    "within a data set and also within a model. Below: how far a perturbation of the probe moves the diagrams of the "
    "layers, beside what it does to the accuracy."
)


def link(source: Source) -> Section:
    """Show how smoothness and robustness go together.

    Args:
        source: The study.

    Returns:
        A gallery of runs, and one a data set along perturbations.
    """
    runs = [panel for drop in _DROPS if (panel := _runs(source, drop))]
    blocks: list[Block] = [Gallery(runs, "TopoLip against what perturbations cost")] if runs else []
    for data in source.data:
        panels = _perturbations(source, data)
        if panels:
            blocks.append(Gallery(panels, f"{data}: along perturbations"))
    missing = [Note("These results hold no robustness to set smoothness against.")]
    return Section("link", "Does smoothness go with robustness?", _INTRO, blocks or missing)


def _runs(source: Source, drop: str) -> Panel | None:
    points = [
        Run(key.data, key.model, summary.get("topolip", math.nan), summary.get(drop, math.nan))
        for key, summary in source.summaries.items()
    ]
    points = [run for run in points if math.isfinite(run.x) and math.isfinite(run.y)]
    if not points:
        return None
    notes = {data: _correlation(source, data, drop) for data in source.data}
    title = f"TopoLip and the accuracy lost to {_DROPS[drop]}"
    y = f"clean accuracy {MINUS} accuracy under {_DROPS[drop]}"
    x = "TopoLip at the last epoch (W2, in units of the layer's mean distance)"
    figure = scatter(points, source.looks, looks(source.data), notes, title, x, y)
    return Panel(figure, f"{title}. " + " ".join(f"{data}: {note}." for data, note in notes.items() if note))


def _correlation(source: Source, data: str, drop: str) -> str:
    runs = {key: numbers for key, numbers in source.summaries.items() if key.data == data}
    means = model_means(runs, ("topolip", drop))
    if not means:
        return ""
    found = spearman([x for x, _ in means.values()], [y for _, y in means.values()])
    models = counted(found.count, "model")
    if not math.isfinite(found.low):
        return f"no rank correlation, {models}"
    return f"Spearman {RHO} = {number(found.rho, 2)} [{number(found.low, 2)}, {number(found.high, 2)}], {models}"


def _perturbations(source: Source, data: str) -> list[Panel]:
    quantity = next((name for name in _PATHS if len(source.last.find(data, name))), "")
    conditions = source.last.find(data, quantity).unique("condition")
    beside = [(_moved(source, data, quantity, name), _accuracy(source, data, name)) for name in conditions]
    pairs = [panel for pair in beside for panel in pair if panel and all(pair)]
    return pairs + [panel for pair in beside for panel in pair if panel and not all(pair)]


def _moved(source: Source, data: str, quantity: str, condition: str) -> Panel | None:
    found = source.last.find(data, quantity, condition=condition)
    own = curves(
        Results(row for row in found if row.layer != INPUT and not math.isnan(row.value)),
        lambda row: row.strength,
        source.models,
    )
    if not own:
        return None
    shown, styles = own, dict(source.looks)
    itself = curves(
        found.where(layer=INPUT, model=own[0].model, variant=HEADLINE), lambda row: row.strength, [own[0].model]
    )
    if itself and quantity == "perturbation_displacement" and condition != "pgd":
        shown = [*own, replace(itself[0], model=_ITSELF)]
        styles[_ITSELF] = Look(FAINT, "", (0, (2, 2)))
    title = f"How far {condition_name(condition)} moves the layers{source.of_data(data)}"
    axis = f"{condition_name(condition)}: {strength_axis(condition)}"
    return Panel(lines(shown, styles, title, axis, _PATHS[quantity]), describe(shown, axis, title))


def _accuracy(source: Source, data: str, condition: str) -> Panel | None:
    found = accuracy_curves(source, data, [condition])
    if not found:
        return None
    title, axis = (
        f"Accuracy under {condition_name(condition)}{source.of_data(data)}",
        f"{condition_name(condition)}: {strength_axis(condition)}",
    )
    return Panel(lines(found, source.looks, title, axis, "accuracy, test", share=True), describe(found, axis, title))


class Run(NamedTuple):
    """One run.

    Attributes:
        data: Label of its data.
        model: Label of its model.
        x: First number.
        y: Second number, a share.
    """

    data: str
    model: str
    x: float
    y: float


def scatter(
    runs: Sequence[Run],
    looks: Mapping[str, Look],
    shapes: Mapping[str, Look],
    notes: Mapping[str, str],
    title: str,
    x: str,
    y: str,
) -> Figure:
    """Draw runs as points: colours tell models, markers data sets.

    Args:
        runs: With finite numbers.
        looks: By model; the colour is used.
        shapes: By data set; the marker is used.
        notes: By data set, what is known of its points, for the legend.
        title: What is seen.
        x: Label of the first number.
        y: Label of the second.

    Returns:
        The figure.
    """
    figure, axes = frame(title, "one point a run; colour: model, shape: data set", (SIZE[0], 3.8))
    for run in runs:
        axes.scatter(
            run.x,
            run.y,
            s=42,
            color=looks[run.model].colour,
            marker=shapes[run.data].marker,
            edgecolors="white",
            linewidths=0.6,
            alpha=0.9,
        )
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    name_axes(axes, x, y)
    used = dict.fromkeys(run.data for run in runs)
    handles = [
        Line2D([], [], linestyle="", marker=shapes[data].marker, color=INK, mfc="none", label=f"{data}: {notes[data]}")
        for data in used
    ]
    handles += [
        Line2D([], [], linestyle="", marker="o", markersize=7, color=looks[model].colour, label=model)
        for model in dict.fromkeys(run.model for run in runs)
    ]
    legend(figure, handles, columns=1 if len(handles) < 6 else 2)
    return figure
