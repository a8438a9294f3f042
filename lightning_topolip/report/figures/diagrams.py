"""Persistence diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_topolip.report.curves import Array
from lightning_topolip.report.frame import frame, legend, name_axes
from lightning_topolip.report.palette import FAINT, looks

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
