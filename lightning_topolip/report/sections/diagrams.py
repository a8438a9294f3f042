"""Persistence diagrams of the first, the middle and the last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section
from lightning_topolip.report.curves import Array
from lightning_topolip.report.formats import number
from lightning_topolip.report.frame import frame, legend, name_axes
from lightning_topolip.report.palette import FAINT, looks
from lightning_topolip.report.source import Source
from lightning_topolip.topology.names import short_names

_INTRO = (
    "Each point is a feature of the cloud that the probe makes in a layer: a component (H0) or a loop (H1), by the "
    "distances at which it appears and disappears, in units of the layer's mean distance. Far from the diagonal: it "
    "lasts. All diagrams of a data set share their axes."
)


def diagrams(source: Source) -> Section:
    """Show the diagrams that the study kept.

    Args:
        source: The study.

    Returns:
        A gallery a data set and model.
    """
    blocks: list[Block] = []
    for data in source.data:
        kept = {model: found for model in source.models if (found := source.diagrams.get(f"{data}/{model}"))}
        scaled = {model: _scaled(found) for model, found in kept.items()}
        top = 1.05 * max((_largest(points) for layers in scaled.values() for points in layers.values()), default=0.0)
        for model, layers in scaled.items():
            if layers and top > 0:
                heading = f"{data}: {model}, seed {kept[model]['seed']}, epoch {kept[model]['epoch']:g}"
                names = dict(zip(layers, short_names(list(layers)), strict=True))
                panels = [_panel(model, names[layer], points, top) for layer, points in layers.items()]
                blocks.append(Gallery(panels, heading, columns=3))
    missing = [Note("These results hold no diagrams.")]
    return Section("diagrams", "Persistence diagrams", _INTRO, blocks or missing)


def _scaled(found: dict[str, Any]) -> dict[str, dict[str, Array]]:
    return {
        layer: {name: as_points(points, kept["scale"]) for name, points in kept.items() if name != "scale"}
        for layer, kept in found["layers"].items()
        if kept.get("scale")
    }


def _largest(points: dict[str, Array]) -> float:
    return max((float(np.max(found)) for found in points.values() if found.size), default=0.0)


def _panel(model: str, layer: str, points: dict[str, Array], top: float) -> Panel:
    parts = [
        f"{len(found)} points in {name}, longest life {number(float(np.max(found[:, 1] - found[:, 0])))}"
        for name, found in points.items()
        if found.size
    ]
    alt = f"Persistence diagram of {model} at {layer}: {'; '.join(parts) or 'no points'}."
    return Panel(diagram(points, top, f"{model}: {layer}", "units of the layer's mean distance"), alt)


_DIMENSIONS = ("H0", "H1", "H2", "H3")
_MEANING = {"H0": "H0, components", "H1": "H1, loops", "H2": "H2, voids"}


def diagram(points: Mapping[str, Array], top: float, title: str, subtitle: str) -> Figure:
    """Draw a persistence diagram.

    Args:
        points: By dimension, ``"H0"`` and so on, births and deaths, shape ``(points, 2)``.
        top: End of both axes, which several diagrams share.
        title: What is seen.
        subtitle: How to read it.

    Returns:
        The figure.
    """
    figure, axes = frame(title, subtitle, (3.1, 3.5))
    shown = [name for name in points if len(points[name])]
    drawn = [
        axes.scatter(
            points[name][:, 0],
            points[name][:, 1],
            s=13,
            facecolors="none" if name == "H0" else look.colour,
            edgecolors=look.colour,
            linewidths=0.8,
            marker=look.marker,
            alpha=0.7,
            label=f"{_MEANING.get(name, name)}: {len(points[name])}",
            clip_on=False,
        )
        for name, look in looks(_DIMENSIONS).items()
        if name in shown
    ]
    axes.plot([0, top], [0, top], color=FAINT, linewidth=0.9)
    axes.set(xlim=(-0.02 * top, top), ylim=(0, top), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    name_axes(axes, "birth", "death")
    if drawn:
        legend(figure, drawn, columns=2)
    return figure


def as_points(found: Sequence[Sequence[float]], scale: float) -> Array:
    """Bring births and deaths into units of the layer's scale.

    Args:
        found: Births and deaths in edge lengths.
        scale: The layer's mean distance.

    Returns:
        Shape ``(points, 2)``.
    """
    return np.asarray(found, dtype=np.float64).reshape(-1, 2) / scale
