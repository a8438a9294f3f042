"""Smoothness over training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lightning_topolip.report.blocks import Note, Panel, Section, Table, galleries
from lightning_topolip.report.curves import Curve, curves, describe
from lightning_topolip.report.formats import over_seeds
from lightning_topolip.report.frame import frame, legend, name_axes
from lightning_topolip.report.lines import legend_line, lines
from lightning_topolip.report.palette import Style
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import HEADLINE, VALIDATION
from lightning_topolip.topology.names import INPUT

_UNIT = "W2, in units of the layer's mean distance"
_QUANTITIES = {
    "topolip": ("TopoLip: how unevenly data travel", f"TopoLip ({_UNIT})"),
    "speed_mean": ("Mean speed: how far a layer moves data", f"mean drift ({_UNIT})"),
    "speed_max": ("Largest speed: the farthest step", f"largest drift ({_UNIT})"),
    "epoch_drift": ("Epoch drift: how far an epoch moves a layer", f"drift per epoch, mean over layers ({_UNIT})"),
    "accuracy": ("Validation accuracy", "accuracy, validation"),
}
_SCORES = {"topolip": "TopoLip", "speed_mean": "mean speed", "speed_max": "largest speed"}
_INTRO = (
    "TopoLip is the mean absolute change of the drift from one layer to the next: lower is smoother. Models learn at "
    "different rates, so the last panel plots TopoLip against accuracy: compare models where they are equally accurate."
)


def training(source: Source) -> Section:
    """Show the scores and the accuracy over epochs, and the score against the accuracy."""
    blocks = galleries({data: _panels(source, data) for data in source.data})
    table = _forms_table(source)
    if table:
        blocks.append(table)
    missing = [Note("These results hold no scores over training.")]
    return Section("training", "Smoothness over training", _INTRO, blocks or missing)


def _panels(source: Source, data: str) -> list[Panel | None]:
    by_name = {name: curves(_rows(source, data, name), lambda row: row.epoch, source.models) for name in _QUANTITIES}
    panels = [_over_epochs(source, data, name, by_name[name]) for name in _QUANTITIES]
    return [*panels, _against_accuracy(source, data, by_name["accuracy"], by_name["topolip"])]


def _rows(source: Source, data: str, quantity: str) -> Results:
    if quantity == "accuracy":
        return source.find(data, quantity, condition=VALIDATION)
    rows = source.find(data, quantity, variant=HEADLINE)
    return Results(row for row in rows if row.layer != INPUT and not math.isnan(row.value))


def _over_epochs(source: Source, data: str, quantity: str, of_models: list[Curve]) -> Panel | None:
    name, y = _QUANTITIES[quantity]
    title = f"{name}{source.title_suffix(data)}"
    return lines(of_models, source.styles, title, "epochs trained", y, share=quantity == "accuracy")


def _against_accuracy(source: Source, data: str, accuracies: list[Curve], scores: list[Curve]) -> Panel | None:
    epochs = {curve.model: set(curve.x.tolist()) for curve in accuracies}
    if not any(epochs.get(curve.model, set()) & set(curve.x.tolist()) for curve in scores):
        return None
    title = f"TopoLip at equal accuracy{source.title_suffix(data)}"
    figure = _path_figure(accuracies, scores, source.styles, title, "accuracy, validation", f"TopoLip ({_UNIT})")
    alt = f"{title}. {describe(accuracies, 'epochs', 'Accuracy')} {describe(scores, 'epochs', 'TopoLip')}"
    return Panel(figure, alt)


def _path_figure(
    accuracies: Sequence[Curve], scores: Sequence[Curve], styles: Mapping[str, Style], title: str, x: str, y: str
) -> Figure:
    """Draw the score against the accuracy, one point per epoch."""
    figure, axes = frame(title, "one point per epoch, thick: mean over seeds, thin: each seed; ring: last epoch")
    by_model = {curve.model: curve for curve in scores}
    drawn = [curve for curve in accuracies if curve.model in by_model]
    for accuracy in drawn:
        score, style = by_model[accuracy.model], styles[accuracy.model]
        epochs = sorted(set(accuracy.x.tolist()) & set(score.x.tolist()))
        across = [accuracy.x.tolist().index(epoch) for epoch in epochs]
        along = [score.x.tolist().index(epoch) for epoch in epochs]
        for seed in set(accuracy.seeds) & set(score.seeds) if len(score.seeds) > 1 else ():
            axes.plot(
                accuracy.values[accuracy.seeds.index(seed), across],
                score.values[score.seeds.index(seed), along],
                color=style.colour,
                linewidth=0.6,
                alpha=0.45,
            )
        means = accuracy.mean[across], score.mean[along]
        axes.plot(*means, linewidth=1.6, markersize=4, **style.line)
        axes.plot(means[0][-1:], means[1][-1:], marker="o", markersize=10, mfc="none", color=style.ink)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(bottom=0)
    name_axes(axes, x, y)
    legend(figure, [legend_line(curve.model, styles[curve.model]) for curve in drawn])
    return figure


def _forms_table(source: Source) -> Table | None:
    """List the scores at the last epoch in every measured form, one column per model."""
    rows = []
    for data in source.data:
        for quantity, name in _SCORES.items():
            scores = source.last.find(data, quantity)
            for form in scores.unique("variant"):
                of_form = scores.where(variant=form)
                rows.append([data, name, form, *(over_seeds(of_form.where(model=m).values()) for m in source.models)])
    caption = (
        "Scores at the last epoch in other forms, mean ± standard deviation over seeds. Scaled: in units of each "
        "layer's mean distance; raw: in activation units."
    )
    return Table(caption, ["data", "score", "form", *source.models], rows, folded=True) if rows else None
