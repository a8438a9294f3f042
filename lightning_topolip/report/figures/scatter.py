"""Every run a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from lightning_topolip.report.frame import SIZE, frame, legend, name_axes
from lightning_topolip.report.palette import INK, Look


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
