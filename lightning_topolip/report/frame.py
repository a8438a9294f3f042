"""The frame of a panel: size, title, axes and legend."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from lightning_topolip.report.log_ticks import log_ticks
from lightning_topolip.report.palette import FAINT, INK

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

SIZE = (4.0, 3.1)
_TITLE, _TEXT, _PAD = 9.5, 8, 0.06
_LETTER = 0.62 * _TEXT


def frame(title: str, subtitle: str = "", size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """Make a figure of a size in inches, with a title and a subtitle that says how to read it."""
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=_PAD, h_pad=_PAD))
    axes = figure.subplots()
    for patch in (figure.patch, axes.patch):
        patch.set_visible(False)
    _write_heading(figure, textwrap.wrap(title, round(11.4 * size[0])), textwrap.wrap(subtitle, round(15 * size[0])))
    axes.tick_params(length=0, labelsize=_TEXT, colors=INK)
    axes.grid(alpha=0.25, linewidth=0.6, clip_on=False)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Label both axes; long labels are wrapped."""
    axes.set_xlabel(textwrap.fill(x, 52), fontsize=_TEXT + 0.5, color=INK)
    axes.set_ylabel(textwrap.fill(y, 28), fontsize=_TEXT + 0.5, color=INK)


def legend(figure: Figure, handles: Sequence[Artist], columns: int = 3) -> None:
    """Put a legend below the axes, in as many columns as fit; the figure grows with its rows."""
    names = [str(handle.get_label()) for handle in handles]
    room = 72 * (figure.get_figwidth() - 2 * _PAD)
    columns = next(number for number in range(min(columns, len(names)), 0, -1) if _fits(names, number, room))
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=columns,
        fontsize=_TEXT,
        frameon=False,
        handlelength=2.6,
        columnspacing=1.4,
    )
    rows = math.ceil(len(names) / columns)
    figure.set_figheight(figure.get_figheight() + 1.3 * _TEXT / 72 * (rows - 1))


def _fits(names: list[str], columns: int, room: float) -> bool:
    rows = math.ceil(len(names) / columns)
    widths = [max(map(len, names[start : start + rows])) * _LETTER + 4 * _TEXT for start in range(0, len(names), rows)]
    return columns == 1 or sum(widths) + 1.4 * _TEXT * (len(widths) - 1) <= room


def _write_heading(figure: Figure, title: list[str], subtitle: list[str]) -> None:
    """Write title and subtitle at the left edge; empty lines after the title reserve the space of the subtitle."""
    left = _PAD / figure.get_figwidth()
    heading = "\n".join([*title, *[" "] * len(subtitle)])
    figure.suptitle(heading, x=left, ha="left", fontsize=_TITLE, fontweight="bold", color=INK)
    below = ScaledTranslation(0, -_PAD - len(title) * _TITLE * 1.25 / 72, figure.dpi_scale_trans)
    text = "\n".join(subtitle)
    figure.text(left, 1, text, va="top", fontsize=_TEXT, color=FAINT, transform=figure.transFigure + below)


def tick_log(axis: Axis) -> None:
    """Label a logarithmic axis that has its final limits."""
    ticks = log_ticks(*axis.get_view_interval())
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FixedFormatter(list(ticks.values())))
    axis.set_minor_locator(NullLocator())
