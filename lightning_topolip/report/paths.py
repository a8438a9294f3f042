"""A chart of one quantity against the accuracy, as a model learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lightning_topolip.report.blocks import Panel
from lightning_topolip.report.curves import Curve, describe
from lightning_topolip.report.frame import frame, name_axes
from lightning_topolip.report.lines import FEW
from lightning_topolip.report.palette import Style


def against_accuracy(
    accuracies: Sequence[Curve], curves: Sequence[Curve], styles: Mapping[str, Style], title: str, name: str, y: str
) -> Panel | None:
    """Draw a quantity against the accuracy, one point per epoch that has both; None without such an epoch.

    Args:
        accuracies: The accuracy over epochs, one curve per model.
        curves: The quantity over epochs.
        styles: The style of each model.
        title: Title of the panel.
        name: Name of the quantity.
        y: Label of its axis, with the unit.
    """
    epochs = {curve.model: set(curve.x.tolist()) for curve in accuracies}
    if not any(epochs.get(curve.model, set()) & set(curve.x.tolist()) for curve in curves):
        return None
    by_model = {curve.model: curve for curve in curves}
    drawn = [curve for curve in accuracies if curve.model in by_model]
    figure = _figure(drawn, by_model, styles, title, y)
    alt = f"{title}. {describe(accuracies, 'epochs', 'Accuracy')} {describe(curves, 'epochs', name)}"
    return Panel(figure, alt, {curve.model: styles[curve.model] for curve in drawn})


def _figure(
    accuracies: Sequence[Curve], by_model: Mapping[str, Curve], styles: Mapping[str, Style], title: str, y: str
) -> Figure:
    crowded = len(accuracies) > FEW
    note = "mean over seeds" if crowded else "thick: mean over seeds, thin: each seed"
    figure, axes = frame(title, f"one point per epoch, {note}; ring: last epoch")
    for accuracy in accuracies:
        curve, style = by_model[accuracy.model], styles[accuracy.model]
        epochs = sorted(set(accuracy.x.tolist()) & set(curve.x.tolist()))
        across = [accuracy.x.tolist().index(epoch) for epoch in epochs]
        along = [curve.x.tolist().index(epoch) for epoch in epochs]
        for seed in () if crowded or len(curve.seeds) == 1 else sorted({*accuracy.seeds} & {*curve.seeds}):
            axes.plot(
                accuracy.values[accuracy.seeds.index(seed), across],
                curve.values[curve.seeds.index(seed), along],
                color=style.colour,
                linewidth=0.6,
                alpha=0.45,
            )
        means = accuracy.mean[across], curve.mean[along]
        axes.plot(*means, linewidth=1.6, markersize=4, **style.line)
        axes.plot(means[0][-1:], means[1][-1:], marker="o", markersize=10, mfc="none", color=style.ink, clip_on=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(bottom=0)
    name_axes(axes, "accuracy, validation", y)
    return figure
