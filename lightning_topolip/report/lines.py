"""Curves of several models in one panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lightning_topolip.report.curves import Curve
from lightning_topolip.report.frame import frame, legend, name_axes, tick_log
from lightning_topolip.report.palette import FAINT, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEAR, _SHORT = 0.075, 16


def lines(
    curves: Sequence[Curve],
    looks: Mapping[str, Look],
    title: str,
    x: str,
    y: str,
    log: bool = False,
    share: bool = False,
    reference: tuple[float, str] | None = None,
    first_apart: bool = False,
) -> Figure:
    """Draw the mean of each model over its seeds, the seeds themselves and their spread.

    Args:
        curves: One a model.
        looks: How each model is drawn.
        title: What is seen.
        x: Label of the axis, with the unit.
        y: Label of the quantity, with the unit.
        log: Whether the quantity's axis is logarithmic.
        share: Whether the quantity is a share, shown in percent.
        reference: A value that the quantity is to be compared with, and its name.
        first_apart: Whether the first point of each curve is of another kind and drawn hollow.

    Returns:
        The figure.
    """
    figure, axes = frame(title, spread_note(curves))
    if log:
        axes.set_yscale("log")
    for curve in curves:
        draw(axes, curve, looks[curve.model], first_apart)
    if reference is not None:
        axes.axhline(reference[0], color=FAINT, linewidth=1, linestyle="--", zorder=1)
        axes.annotate(
            reference[1],
            (0.99, reference[0]),
            (0, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=7.5,
            color=FAINT,
            ha="right",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            zorder=5,
        )
    if share:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    elif log:
        tick_log(axes.yaxis)
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if all((curve.x == np.round(curve.x)).all() for curve in curves):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    name_axes(axes, x, y)
    identify(figure, axes, curves, looks)
    return figure


def draw(axes: Axes, curve: Curve, look: Look, first_apart: bool = False) -> None:
    """Draw one curve: thick the mean, thin the seeds, shaded the band.

    Args:
        axes: To draw in.
        curve: The numbers.
        look: Its colour, marker and line style.
        first_apart: Whether the first point is drawn hollow.
    """
    if len(curve.seeds) > 1:
        axes.plot(curve.x, curve.values.T, color=look.colour, linewidth=0.6, alpha=0.55)
    if curve.band:
        axes.fill_between(curve.x, curve.low, curve.high, color=look.colour, alpha=0.15, linewidth=0)
    every = max(1, round(len(curve.x) / 16))
    (line,) = axes.plot(
        curve.x,
        curve.mean,
        color=look.colour,
        linestyle=look.dashes,
        linewidth=1.9,
        marker=look.marker,
        markersize=4.5,
        markevery=every,
    )
    if first_apart:
        line.set_markevery((1, every))
        axes.plot(curve.x[:1], curve.mean[:1], color=look.colour, marker=look.marker, markersize=5, mfc="white")


def identify(figure: Figure, axes: Axes, curves: Sequence[Curve], looks: Mapping[str, Look]) -> None:
    """Name the curves at their right ends where the names do not meet, and in a legend otherwise.

    Args:
        figure: Holds the axes.
        axes: With the curves, and their final limits.
        curves: What was drawn.
        looks: How each model was drawn.
    """
    ends = [(curve.x[-1], curve.mean[-1]) for curve in curves]
    heights = np.sort(axes.transAxes.inverted().transform(axes.transData.transform(ends))[:, 1])
    short = max(len(curve.model) for curve in curves) <= _SHORT
    if short and len({x for x, _ in ends}) == 1 and (np.diff(heights) > _NEAR).all():
        for curve, (_, height) in zip(curves, ends, strict=True):
            axes.annotate(
                curve.model,
                (1, height),
                (3, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=looks[curve.model].ink,
            )
        return
    legend(figure, [handle(curve.model, looks[curve.model]) for curve in curves])


def handle(name: str, look: Look) -> Line2D:
    """Give the sample of a line that a legend shows."""
    return Line2D(
        [], [], color=look.colour, linestyle=look.dashes, linewidth=1.9, marker=look.marker, markersize=4.5, label=name
    )


def spread_note(curves: Sequence[Curve]) -> str:
    """Say what the thick line, the thin ones and the shade are."""
    counts = sorted({len(curve.seeds) for curve in curves})
    seeds = " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    bands = list(dict.fromkeys(curve.band for curve in curves if curve.band))
    shade = f", shade: {' or '.join(bands)}" if bands else ""
    return f"one seed{shade}" if counts == [1] else f"mean of {seeds} seeds, thin: each seed{shade}"
