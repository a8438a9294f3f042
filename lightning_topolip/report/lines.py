"""A line chart of several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lightning_topolip.report.blocks import Panel
from lightning_topolip.report.curves import Curve, describe
from lightning_topolip.report.frame import frame, legend, name_axes, tick_log
from lightning_topolip.report.palette import FAINT, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLOSE, _SHORT, _MARKERS = 0.075, 16, 16


def lines(
    curves: Sequence[Curve],
    styles: Mapping[str, Style],
    title: str,
    x: str,
    y: str,
    *,
    log: bool = False,
    share: bool = False,
    reference: tuple[float, str] | None = None,
    hollow_first: bool = False,
) -> Panel | None:
    """Draw the mean of each model over its seeds, each seed and their spread; None without curves.

    Args:
        curves: One per model.
        styles: The style of each model.
        title: Title of the panel.
        x: Label of the axis, with the unit.
        y: Label of the quantity, with the unit.
        log: Whether the axis of the quantity is logarithmic.
        share: Whether the quantity is a share, shown in percent.
        reference: A value to compare with, and its name.
        hollow_first: Whether the first point of each curve differs in kind and is drawn hollow.
    """
    if not curves:
        return None
    figure, axes = frame(title, _spread_note(curves))
    if log:
        axes.set_yscale("log")
    for curve in curves:
        _draw(axes, curve, styles[curve.model], hollow_first)
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
    _name_curves(figure, axes, curves, styles)
    return Panel(figure, describe(curves, x, title))


def _draw(axes: Axes, curve: Curve, style: Style, hollow_first: bool) -> None:
    """Draw one curve: a thick line for the mean, thin lines for the seeds, a shade for the band."""
    if len(curve.seeds) > 1:
        axes.plot(curve.x, curve.values.T, color=style.colour, linewidth=0.6, alpha=0.55)
    if curve.band:
        axes.fill_between(curve.x, curve.low, curve.high, color=style.colour, alpha=0.15, linewidth=0)
    every = max(1, round(len(curve.x) / _MARKERS))
    (line,) = axes.plot(curve.x, curve.mean, linewidth=1.9, markersize=4.5, markevery=every, **style.line)
    if hollow_first:
        line.set_markevery((1, every))
        axes.plot(curve.x[:1], curve.mean[:1], color=style.colour, marker=style.marker, markersize=5, mfc="white")


def _name_curves(figure: Figure, axes: Axes, curves: Sequence[Curve], styles: Mapping[str, Style]) -> None:
    """Name the curves at their right ends if the names do not overlap, and in a legend otherwise."""
    ends = [(curve.x[-1], curve.mean[-1]) for curve in curves]
    heights = np.sort(axes.transAxes.inverted().transform(axes.transData.transform(ends))[:, 1])
    short = max(len(curve.model) for curve in curves) <= _SHORT
    if short and len({x for x, _ in ends}) == 1 and (np.diff(heights) > _CLOSE).all():
        for curve, (_, height) in zip(curves, ends, strict=True):
            axes.annotate(
                curve.model,
                (1, height),
                (3, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=styles[curve.model].ink,
            )
        return
    legend(figure, [legend_line(curve.model, styles[curve.model]) for curve in curves])


def legend_line(name: str, style: Style) -> Line2D:
    """Return the line that stands for a model in a legend."""
    return Line2D([], [], linewidth=1.9, markersize=4.5, label=name, **style.line)


def _spread_note(curves: Sequence[Curve]) -> str:
    """Explain the thick line, the thin lines and the shade."""
    counts = sorted({len(curve.seeds) for curve in curves})
    seeds = " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    bands = list(dict.fromkeys(curve.band for curve in curves if curve.band))
    shade = f", shade: {' or '.join(bands)}" if bands else ""
    return f"one seed{shade}" if counts == [1] else f"mean of {seeds} seeds, thin: each seed{shade}"
