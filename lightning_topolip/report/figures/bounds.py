"""A lower and an upper bound, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lightning_topolip.report.frame import SIZE, frame, legend, name_axes, tick_log
from lightning_topolip.report.palette import Look


def bounds(
    lower: Mapping[str, Sequence[float]],
    upper: Mapping[str, Sequence[float]],
    labels: Mapping[str, str],
    look: Look,
    title: str,
    y: str,
) -> Figure:
    """Draw between which values the Lipschitz constant of every step lies.

    Args:
        lower: By layer, a number a seed.
        upper: The same; infinite where there is no bound.
        labels: By layer, the input side first, the name shown.
        look: Colour of the model.
        title: What is seen.
        y: Label of the quantity.

    Returns:
        The figure.
    """
    unbounded = [layer for layer in labels if any(map(math.isinf, upper.get(layer, [])))]
    note = "input side on top; one point a seed, line: between the bounds"
    if unbounded:
        note += "; arrow: no finite upper bound"
    figure, axes = frame(title, note, (SIZE[0], 1.5 + max(0.2 * len(labels), 1.5)))
    axes.set_xscale("log")
    handles = {}
    for row, layer in enumerate(labels):
        low = [value for value in lower.get(layer, []) if math.isfinite(value) and value > 0]
        high = [value for value in upper.get(layer, []) if math.isfinite(value) and value > 0]
        if low and high:
            axes.plot([min(low), max(high)], [row, row], color=look.colour, linewidth=3, alpha=0.25)
        if low:
            (handles["lower"],) = axes.plot(
                low,
                [row] * len(low),
                "|",
                color=look.ink,
                markersize=9,
                label="lower bound: local, largest over the probe",
                linestyle="",
            )
        if high:
            (handles["upper"],) = axes.plot(
                high,
                [row] * len(high),
                marker=look.marker,
                color=look.colour,
                mfc="white",
                markersize=5,
                label="upper bound",
                linestyle="",
            )
        if low and layer in unbounded:
            axes.annotate(
                "",
                (1.0, row),
                (max(low), row),
                xycoords=("axes fraction", "data"),
                textcoords="data",
                arrowprops={"arrowstyle": "->", "color": look.colour},
            )
    tick_log(axes.xaxis)
    axes.set_yticks(range(len(labels)), list(labels.values()), fontsize=7.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    name_axes(axes, y, "step to layer")
    legend(figure, list(handles.values()), columns=1)
    return figure
