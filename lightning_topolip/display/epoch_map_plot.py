"""The map of layers and epochs."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_topolip.display.smoothness_plot import latest_report
from lightning_topolip.topology.history import History, layer_names, table
from lightning_topolip.topology.names import short_names
from lightning_topolip.topology.settings import describe_order


def epoch_map_figure(history: History) -> Figure:
    """Draw the epoch drift of every layer at every analysis, of at least two, as a map."""
    report = latest_report(history)
    names = layer_names(history)
    values = table(history.epoch_drifts[1:], names)
    edges = np.array(history.epochs)
    figure = Figure(figsize=(9, 0.28 * len(names) + 2.0), layout="constrained")
    axes = figure.subplots()
    mesh = axes.pcolormesh(edges, np.arange(len(names) + 1), values.T, cmap="viridis", vmin=0)
    axes.set_yticks(np.arange(len(names)) + 0.5, short_names(names), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("epochs trained")
    axes.set_ylabel("layer, input side on top")
    axes.set_title("Epoch drift: how far the topology of each layer moved per epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label = f"drift per epoch, {describe_order(report.settings.order)}"
    figure.colorbar(mesh, ax=axes, aspect=16 + len(names), pad=0.015, label=label)
    return figure
