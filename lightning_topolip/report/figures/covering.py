"""Covering numbers against the radius."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lightning_topolip.report.curves import Curve
from lightning_topolip.report.frame import frame, legend, name_axes, tick_log
from lightning_topolip.report.lines import handle
from lightning_topolip.report.palette import Look


def covering(upper: Sequence[Curve], lower: Sequence[Curve], looks: Mapping[str, Look], title: str) -> Figure:
    """Draw between which values the covering number lies.

    Args:
        upper: Size of the greedy cover, a curve a model, over the radius.
        lower: Size of the packing at twice the radius, a curve a model that has one.
        looks: How each model is drawn.
        title: What is seen.

    Returns:
        The figure.
    """
    figure, axes = frame(title, "thick: greedy cover, an upper bound; thin: packing, a lower bound; mean over seeds")
    axes.set_yscale("log")
    packings = {curve.model: curve for curve in lower}
    for curve in upper:
        look = looks[curve.model]
        axes.plot(
            curve.x,
            curve.mean,
            color=look.colour,
            linestyle=look.dashes,
            linewidth=1.9,
            marker=look.marker,
            markersize=4,
        )
        if curve.model in packings:
            packing = packings[curve.model]
            axes.plot(packing.x, packing.mean, color=look.colour, linewidth=0.9)
            if packing.x.tolist() == curve.x.tolist():
                axes.fill_between(curve.x, packing.mean, curve.mean, color=look.colour, alpha=0.12, linewidth=0)
    tick_log(axes.yaxis)
    name_axes(axes, "radius, in units of the layer's mean distance", "balls needed to cover the probe")
    legend(figure, [handle(curve.model, looks[curve.model]) for curve in upper])
    return figure
