"""Persistence diagrams of the first, the middle and the last layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section
from lightning_topolip.report.curves import Array
from lightning_topolip.report.frame import frame, legend, name_axes
from lightning_topolip.report.palette import FAINT, Style, styles
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import number
from lightning_topolip.topology.names import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DIMENSIONS = ("H0", "H1", "H2", "H3")
_MEANING = {"H0": "H0, components", "H1": "H1, loops", "H2": "H2, voids"}
_DASH, _THIN, _DOT, _RESOLUTION = 0.03, 0.005, 0.002, 200  # shares of the axes, and marks along them
_INCHES = 2.3  # length of the axes
_INTRO = (
    "Each mark is a feature of the point cloud of the probe in a layer: a component (H0, a dash at the left edge) or a "
    "loop (H1), by the distances at which it appears and disappears, in units of the layer's mean distance. A mark far "
    "from the diagonal is a feature that persists. Marks that cannot be told apart are drawn once. All diagrams of a "
    "data set share their axes."
)


def diagrams(source: Source) -> Section:
    """Show the diagrams of the study, one gallery per data set and model."""
    blocks: list[Block] = []
    for data in source.data:
        stored = {model: entry for model in source.models if (entry := source.diagrams.get(f"{data}/{model}"))}
        scaled = {model: _scaled(entry) for model, entry in stored.items()}
        top = 1.05 * max((_largest(points) for layers in scaled.values() for points in layers.values()), default=0.0)
        for model, layers in scaled.items():
            if layers and top > 0:
                heading = f"{data}: {model}, seed {stored[model]['seed']}, epoch {stored[model]['epoch']:g}"
                names = dict(zip(layers, short_names(list(layers)), strict=True))
                panels = [_panel(model, names[layer], points, top) for layer, points in layers.items()]
                blocks.append(Gallery(panels, heading, columns=3))
    missing = [Note("These results hold no diagrams.")]
    return Section("diagrams", "Persistence diagrams", _INTRO, blocks or missing)


def _scaled(entry: dict[str, Any]) -> dict[str, dict[str, Array]]:
    """Return births and deaths by layer and dimension, shape ``(points, 2)``, in units of the layer's scale."""
    return {
        layer: {
            name: np.asarray(points, dtype=np.float64).reshape(-1, 2) / content["scale"]
            for name, points in content.items()
            if name != "scale"
        }
        for layer, content in entry["layers"].items()
        if content.get("scale")
    }


def _largest(points: Mapping[str, Array]) -> float:
    return max((float(np.max(pairs)) for pairs in points.values() if pairs.size), default=0.0)


def _panel(model: str, layer: str, points: Mapping[str, Array], top: float) -> Panel:
    parts = [
        f"{len(pairs)} points in {name}, longest life {number(float(np.max(pairs[:, 1] - pairs[:, 0])))}"
        for name, pairs in points.items()
        if pairs.size
    ]
    alt = f"Persistence diagram of {model} at {layer}: {'; '.join(parts) or 'no points'}."
    return Panel(diagram_figure(points, top, f"{model}: {layer}", "units of the layer's mean distance"), alt)


def diagram_figure(points: Mapping[str, Array], top: float, title: str, subtitle: str) -> Figure:
    """Draw births and deaths by dimension, shape ``(points, 2)``; both axes end at `top`."""
    figure, axes = frame(title, subtitle, (3.1, 3.5))
    drawn = [
        _draw(axes, name, points[name], style, top)
        for name, style in styles(_DIMENSIONS).items()
        if len(points.get(name, ()))
    ]
    axes.plot([0, top], [0, top], color=FAINT, linewidth=0.9)
    axes.set(xlim=(-0.02 * top, top), ylim=(0, top), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    name_axes(axes, "birth", "death")
    if drawn:
        legend(figure, drawn, columns=2)
    return figure


def _draw(axes: Axes, name: str, pairs: Array, style: Style, top: float) -> Line2D:
    """Draw the components, all born at 0, as dashes at the left edge, and other features as dots.

    All marks of a dimension are one line with gaps: its pieces, and not a symbol at every place, are the marks.
    """
    dash = name == "H0"
    starts, ends = _dashes(pairs, top) if dash else _dots(pairs, top)
    pieces = np.stack([starts, ends, np.full_like(starts, np.nan)], axis=1).reshape(-1, 2)
    axes.plot(
        *pieces.T,
        color=style.colour,
        linewidth=_DASH * 72 * _INCHES if dash else 3.2,
        solid_capstyle="butt" if dash else "round",
        alpha=0.75,
        clip_on=False,
    )
    label = f"{_MEANING.get(name, name)}: {len(pairs)}"
    handle = Line2D([], [], linestyle="", color=style.colour, label=label)
    handle.set(marker="_" if dash else "o", markersize=7 if dash else 3.5)
    return handle


def _dashes(pairs: Array, top: float) -> tuple[Array, Array]:
    """Return lower and upper ends of dashes at the left edge, one per death; dashes that touch are one."""
    half = _THIN * top / 2
    deaths = np.sort(pairs[:, 1])
    apart = np.diff(deaths) > 2 * half
    low = deaths[np.concatenate([[True], apart])] - half
    high = deaths[np.concatenate([apart, [True]])] + half
    middle = np.full_like(low, _DASH * top / 2)
    return np.stack([middle, low], axis=1), np.stack([middle, high], axis=1)


def _dots(pairs: Array, top: float) -> tuple[Array, Array]:
    """Return the ends of dots; of those that cannot be told apart in the drawing, one is kept."""
    _, first = np.unique(np.round(pairs / top * _RESOLUTION), axis=0, return_index=True)
    starts = np.asarray(pairs[first], dtype=np.float64)
    return starts, starts + np.array([_DOT * top, 0.0])
