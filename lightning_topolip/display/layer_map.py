"""Maps of layers and epochs: depth from left to right, epochs upwards, on a logarithmic scale of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.colors import LogNorm
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullLocator

from lightning_topolip.display.panels import LABEL_SIZE, TICK_SIZE
from lightning_topolip.topology.estimate import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNKNOWN = "0.88"
_LARGEST_RANGE = 1000.0


def draw_map(axes: Axes, edges: npt.ArrayLike, values: Array, label: str) -> None:
    """Draw values of shape ``(analyses, layers)``, layer i around i, with a bar of their colours.

    The scale is logarithmic, so that one large epoch leaves the others their colours. Values below a thousandth of the
    largest one, zeros among them, have the lowest colour; unknown ones are grey.

    Args:
        axes: The panel.
        edges: Epochs at which the rows of cells begin and end, one more than there are analyses.
        values: Non-negative; NaN where unknown.
        label: What the colours mean.
    """
    axes.grid(visible=False)
    axes.set_facecolor(_UNKNOWN)
    low, high, extend = _limits(values)
    mesh = axes.pcolormesh(
        np.arange(values.shape[1] + 1) - 0.5,
        edges,
        np.maximum(values, low),
        cmap="viridis",
        norm=LogNorm(low, high),
        rasterized=True,
    )
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylabel("epochs trained", fontsize=LABEL_SIZE)
    assert axes.figure is not None
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.015, aspect=22, extend=extend)
    bar.set_label(label, fontsize=LABEL_SIZE)
    bar.ax.tick_params(labelsize=TICK_SIZE)
    bar.ax.yaxis.set_major_locator(_ticks(high / low))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter("{x:g}")


def _ticks(ratio: float) -> Locator:
    """Few ticks for a scale whose ends have a ratio."""
    if ratio < 6:
        return MaxNLocator(4)
    return LogLocator(subs=(1.0, 2.0, 5.0) if ratio < 30 else (1.0,), numticks=8)


def _limits(values: Array) -> tuple[float, float, Literal["neither", "min"]]:
    """The ends of the scale, and whether there are values below it."""
    known = values[np.isfinite(values)]
    positive = known[known > 0]
    if not positive.size:
        return 0.1, 1.0, "neither"
    high = float(positive.max())
    low = max(float(positive.min()), high / _LARGEST_RANGE)
    below: Literal["neither", "min"] = "min" if known.min() < low else "neither"
    return min(low, high / 2), high, below
