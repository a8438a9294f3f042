"""How two numbers of a training go together, epoch after epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lightning_topolip.report.curves import Curve
from lightning_topolip.report.frame import frame, legend, name_axes
from lightning_topolip.report.lines import handle
from lightning_topolip.report.palette import Look


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
