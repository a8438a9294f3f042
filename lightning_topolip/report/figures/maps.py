"""Layer x epoch maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lightning_topolip.report.curves import Array
from lightning_topolip.report.frame import SIZE, frame, name_axes
from lightning_topolip.report.palette import MAP


def layer_map(
    values: Array, layers: Sequence[str], epochs: Sequence[float], top: float, title: str, subtitle: str, unit: str
) -> Figure:
    """Draw a number by layer and epoch.

    Args:
        values: Shape ``(layers, epochs)``, NaN where missing, which stays white.
        layers: Names, the input side first.
        epochs: Those analysed; each gets a column of the same width.
        top: Value at the top of the colour scale, which several maps share; larger ones get its colour.
        title: What is seen.
        subtitle: How to read it.
        unit: Label of the colour bar.

    Returns:
        The figure.
    """
    height = 1.35 + max(0.17 * len(layers), 1.6)
    figure, axes = frame(title, subtitle, (SIZE[0], height))
    axes.grid(visible=False)
    mesh = axes.pcolormesh(
        np.arange(len(epochs) + 1),
        np.arange(len(layers) + 1),
        values,
        cmap=MAP,
        vmin=0,
        vmax=top,
        edgecolors="face",
        linewidth=0.2,
    )
    every = max(1, round(len(epochs) / 10))
    axes.set_xticks(np.arange(len(epochs))[::every] + 0.5, [f"{epoch:g}" for epoch in epochs][::every])
    step = max(1, round(len(layers) / 30))
    axes.set_yticks(np.arange(len(layers))[::step] + 0.5, list(layers)[::step], fontsize=7.5)
    axes.invert_yaxis()
    name_axes(axes, "epochs trained", "layer")
    beyond = bool(np.nanmax(values) > top * (1 + 1e-9))
    bar = figure.colorbar(mesh, ax=axes, extend="max" if beyond else "neither", aspect=30)
    bar.ax.tick_params(labelsize=7.5)
    bar.set_label(unit, fontsize=8)
    return figure
