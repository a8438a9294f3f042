"""Smoothness over training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section, Table
from lightning_topolip.report.curves import Curve, curves, describe
from lightning_topolip.report.formats import over_seeds
from lightning_topolip.report.frame import frame, legend, name_axes
from lightning_topolip.report.lines import handle, lines
from lightning_topolip.report.palette import Look
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import HEADLINE, VALIDATION
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


_SCORES = {"topolip": "TopoLip", "speed_mean": "mean speed", "speed_max": "largest speed"}


def forms_table(source: Source) -> Table | None:
    """List the scores at the last epoch in every form that was measured.

    Args:
        source: The study.

    Returns:
        A row a data set, score and form, a column a model; None without results.
    """
    rows = []
    for data in source.data:
        for quantity, name in _SCORES.items():
            found = source.last.find(data, quantity)
            for form in found.unique("variant"):
                of_form = found.where(variant=form)
                rows.append([data, name, form, *(over_seeds(of_form.where(model=m).values()) for m in source.models)])
    return (
        Table(
            "Scores at the last epoch in other forms, mean ± standard deviation over seeds. Scaled: in units of each "
            "layer's mean distance; raw: in activation units.",
            ["data", "score", "form", *source.models],
            rows,
            folded=True,
        )
        if rows
        else None
    )


def path(
    accuracies: Sequence[Curve], scores: Sequence[Curve], looks: Mapping[str, Look], title: str, x: str, y: str
) -> Figure:
    """Draw one number against another, a point an epoch; models compare where they stand above the same accuracy.

    Args:
        accuracies: Over epochs.
        scores: Over epochs.
        looks: How each model is drawn.
        title: What is seen.
        x: Label of the accuracy.
        y: Label of the score.

    Returns:
        The figure.
    """
    figure, axes = frame(title, "one point an epoch, thick: mean over seeds, thin: each seed; ring: last epoch")
    by_model = {curve.model: curve for curve in scores}
    shown = [curve.model for curve in accuracies if curve.model in by_model]
    for accuracy in accuracies:
        if accuracy.model not in by_model:
            continue
        score, look = by_model[accuracy.model], looks[accuracy.model]
        epochs = sorted(set(accuracy.x.tolist()) & set(score.x.tolist()))
        across = [accuracy.x.tolist().index(epoch) for epoch in epochs]
        along = [score.x.tolist().index(epoch) for epoch in epochs]
        for seed in set(accuracy.seeds) & set(score.seeds) if len(score.seeds) > 1 else ():
            axes.plot(
                accuracy.values[accuracy.seeds.index(seed), across],
                score.values[score.seeds.index(seed), along],
                color=look.colour,
                linewidth=0.6,
                alpha=0.45,
            )
        ends = accuracy.mean[across], score.mean[along]
        axes.plot(*ends, color=look.colour, linestyle=look.dashes, linewidth=1.6, marker=look.marker, markersize=4)
        axes.plot(ends[0][-1:], ends[1][-1:], marker="o", markersize=10, mfc="none", color=look.ink)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(bottom=0)
    name_axes(axes, x, y)
    legend(figure, [handle(model, looks[model]) for model in shown])
    return figure
