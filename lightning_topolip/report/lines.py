"""A line chart of several models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lightning_topolip.report.blocks import Panel
from lightning_topolip.report.curves import Array, Curve, describe
from lightning_topolip.report.frame import frame, name_axes, tick_log
from lightning_topolip.report.palette import FAINT, Style
from lightning_topolip.study.judging.formats import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW, CROWD = 4, 8
"""The most curves that are drawn with their seeds, and with their bands; more would hide one another."""
_CLOSE, _SHORT, _MARKERS = 0.075, 16, 9
_BACKGROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}


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
    apart: bool = False,
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
        apart: Whether the first point of each curve differs in kind: it is drawn hollow and alone, and on a linear axis
            it does not set the scale; a point beyond has its number at the edge.
    """
    if not curves:
        return None
    figure, axes = frame(title, _spread_note(curves))
    if log:
        axes.set_yscale("log")
    for curve in curves:
        _draw(axes, curve, styles[curve.model], 1 if apart and len(curve.x) > 1 else 0, len(curves))
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
            bbox=_BACKGROUND,
            zorder=5,
        )
    if not share and not log:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if apart:
        _draw_first(axes, curves, styles)
    if share:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    elif log:
        tick_log(axes.yaxis)
    if all((curve.x == np.round(curve.x)).all() for curve in curves):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    name_axes(axes, x, y)
    named = _name_curves(axes, curves, styles)
    keys = {} if named else {curve.model: styles[curve.model] for curve in curves}
    return Panel(figure, describe(curves, x, title), keys)


def _draw(axes: Axes, curve: Curve, style: Style, start: int, count: int) -> None:
    """Draw a curve from a point on: a thick line for the mean, thin ones for the seeds, a shade for the band.

    The more curves there are in all, `count`, the less of each is drawn.
    """
    x = curve.x[start:]
    if count <= FEW and len(curve.seeds) > 1:
        axes.plot(x, curve.values.T[start:], color=style.colour, linewidth=0.6, alpha=0.55)
    if count <= CROWD and curve.band:
        fill_band(axes, x, curve.low[start:], curve.high[start:], style, 0.2)
    every = max(1, round(len(x) / _MARKERS))
    axes.plot(x, curve.mean[start:], linewidth=1.9, markersize=4.5, markevery=every, **style.line)


def fill_band(axes: Axes, x: Array, low: Array, high: Array, style: Style, alpha: float) -> None:
    """Shade what lies between two lines."""
    edge = np.concatenate([low, high[::-1]])
    axes.fill(np.concatenate([x, x[::-1]]), edge, color=style.colour, alpha=alpha, linewidth=0)


def _draw_first(axes: Axes, curves: Sequence[Curve], styles: Mapping[str, Style]) -> None:
    """Draw the first point of each curve hollow; those beyond a linear axis are at its edge, with their numbers."""
    top = math.inf if axes.get_yscale() == "log" else axes.get_ylim()[1]
    for curve in curves:
        style, y = styles[curve.model], min(float(curve.mean[0]), top)
        axes.plot(
            curve.x[:1], [y], style.marker, color=style.colour, markersize=5, mfc="white", clip_on=False, zorder=4
        )
    beyond = [curve for curve in curves if curve.mean[0] > top]
    if beyond:
        _name_first(axes, beyond, styles, top)
        axes.set_ylim(top=top)


def _name_first(axes: Axes, curves: Sequence[Curve], styles: Mapping[str, Style], top: float) -> None:
    """Write the numbers of first points beyond the axis; of more than two, their range."""
    notes = [(number(curve.mean[0]), styles[curve.model].ink) for curve in curves]
    if len(curves) > 2:
        firsts = [float(curve.mean[0]) for curve in curves]
        notes = [(f"{number(min(firsts))} to {number(max(firsts))}", FAINT)]
    for place, (text, colour) in enumerate(notes):
        axes.annotate(
            f"\N{UPWARDS ARROW} {text}",
            (max(float(curve.x[0]) for curve in curves), top),
            (6, -9 * place),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=colour,
            bbox=_BACKGROUND,
            zorder=5,
        )


def _name_curves(axes: Axes, curves: Sequence[Curve], styles: Mapping[str, Style]) -> bool:
    """Name the curves at their right ends if the names do not overlap; tell whether they did not."""
    ends = [(curve.x[-1], curve.mean[-1]) for curve in curves]
    heights = np.sort(axes.transAxes.inverted().transform(axes.transData.transform(ends))[:, 1])
    short = max(len(curve.model) for curve in curves) <= _SHORT
    if not short or len({x for x, _ in ends}) > 1 or not (np.diff(heights) > _CLOSE).all():
        return False
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
    return True


def _spread_note(curves: Sequence[Curve]) -> str:
    """Explain the thick line, the thin lines and the shade."""
    if len(curves) > CROWD:
        return "mean over the seeds; their spread is in the tables"
    counts = sorted({len(curve.seeds) for curve in curves})
    seeds = " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    bands = list(dict.fromkeys(curve.band for curve in curves if curve.band))
    shade = f", shade: {' or '.join(bands)}" if bands else ""
    thin = ", thin: each seed" if len(curves) <= FEW else ""
    return f"one seed{shade}" if counts == [1] else f"mean of {seeds} seeds{thin}{shade}"
