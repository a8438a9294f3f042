"""Panels for curves over depth: bands of two standard errors, and the step from the input on its own scale."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from lightning_topolip.topology.estimate import Array
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.settings import describe_order
from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.topology.tables import with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAINT = "0.35"
TITLE_SIZE, LABEL_SIZE, TICK_SIZE, CAPTION_SIZE = 13, 11, 10, 8.5  # legible in a picture of 300 pixels
_WIDTH, _DPI = 6.4, 130
_CAPTION_ROOM = 66
_OPACITY = 0.28

Colour = str | tuple[float, float, float, float]


@dataclass(frozen=True)
class Style:
    """How a curve is drawn.

    Attributes:
        colour: The colour of line and band.
        strong: Whether it stands out before the others, with a band.
        marker: The marker of a step.
        label: Its name in the legend.
    """

    colour: Colour
    strong: bool = True
    marker: str = "o"
    label: str = ""


def new_figure(height: float, width: float = _WIDTH) -> Figure:
    """Make a figure in which everything has its place, whatever its size in inches."""
    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def depth_panels(rows: int, *, entry: bool) -> tuple[Figure, list[Axes], list[Axes]]:
    """Make a figure of panels below each other, with narrow ones at their left for the step from the input.

    Args:
        rows: Number of panels; the first is the highest.
        entry: Whether there are narrow panels.

    Returns:
        The figure, its panels, and its narrow panels from top to bottom; no narrow ones without an entry.
    """
    figure = new_figure(4.2 if rows == 1 else 6.0)
    shape = {"width_ratios": [1, 11] if entry else [1], "height_ratios": [1.6, 1][:rows]}
    grid = figure.subplots(rows, 1 + entry, squeeze=False, sharex="col", gridspec_kw=shape)
    for axes in grid.flat:
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=TICK_SIZE)
        axes.spines[["top", "right"]].set_visible(False)
    narrow = list(grid[:, 0]) if entry else []
    for axes in narrow:
        axes.set_facecolor("0.955")
        axes.set_xlim(-1, 1)
    if entry:
        narrow[0].set_title("from input,\nnot scored", fontsize=CAPTION_SIZE, color=FAINT)
    return figure, list(grid[:, -1]), narrow


def draw_curve(axes: Axes, places: npt.ArrayLike, drifts: Array, errors: Array, style: Style) -> None:
    """Draw a curve, and if it is strong a band of two standard errors; a step without neighbours gets a bar."""
    level = 4 if style.strong else 2
    size = 1.0 if len(drifts) <= 30 else 0.6
    axes.plot(
        places,
        drifts,
        color=style.colour,
        marker=style.marker,
        markersize=size * (4.5 if style.strong else 2.5),
        linewidth=2.2 if style.strong else 1.1,
        label=style.label or None,
        zorder=level,
    )
    known = np.isfinite(drifts) & np.isfinite(errors)
    if not known.any() or not style.strong:
        return
    low, high = drifts - 2 * errors, drifts + 2 * errors
    axes.fill_between(places, low, high, color=style.colour, alpha=_OPACITY, linewidth=0, zorder=level - 1)
    beside = np.concatenate([[False], known[:-1]]) | np.concatenate([known[1:], [False]])
    alone = known & ~beside
    axes.vlines(
        np.asarray(places)[alone],
        low[alone],
        high[alone],
        color=style.colour,
        alpha=2 * _OPACITY,
        linewidth=3.5,
        zorder=level - 1,
    )


def keeps_input_apart(report: SmoothnessReport) -> bool:
    """Whether the first step of a report comes from the input and is not scored."""
    return report.layers[:1] == (INPUT,) and len(report.layers) > 1 and not report.settings.include_input


def quantity(report: SmoothnessReport) -> str:
    """Describe what a curve shows, in lines: order, sample, unit, and the band if it has one."""
    band = "; band: two standard errors" if report.part_curves.size else ""
    text = f"{describe_order(report.settings.order)}, {report.sample}, {view_unit(report)}{band}"
    return textwrap.fill(text, _CAPTION_ROOM)


def view_unit(report: SmoothnessReport) -> str:
    """Describe the unit of a report's view."""
    return "in units of the layer's mean distance" if report.settings.view == "scaled" else "in activation units"


def score_text(report: SmoothnessReport) -> str:
    """Write the score of a report with its error."""
    return f"TopoLip {with_error(report.score, report.score_error)}"


def after_epochs(epochs: float) -> str:
    """Say when: ``"after 3 epochs"``; nothing if it is not known."""
    return "" if math.isnan(epochs) else f"after {epochs:.4g} epoch" + "s" * (epochs != 1)
