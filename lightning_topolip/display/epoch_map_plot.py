"""The map of layers and epochs."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lightning_topolip.display.layer_axis import axis_label, common_prefix, name_layers
from lightning_topolip.display.layer_map import draw_map
from lightning_topolip.display.panels import LABEL_SIZE, TICK_SIZE, TITLE_SIZE, new_figure
from lightning_topolip.display.smoothness_plot import latest_report
from lightning_topolip.topology.history import History, layer_names, table
from lightning_topolip.topology.settings import describe_order


def epoch_map_figure(history: History) -> Figure:
    """Draw the epoch drift of every layer at every analysis, of at least two, as a map."""
    report = latest_report(history)
    names = layer_names(history)
    figure = new_figure(4.2)
    axes = figure.subplots()
    axes.tick_params(labelsize=TICK_SIZE)
    label = f"drift per epoch, {describe_order(report.settings.order)}"
    draw_map(axes, np.array(history.epochs), table(history.epoch_drifts[1:], names), label)
    prefix = common_prefix(names)
    name_layers(axes, names, prefix)
    axes.set_xlabel(axis_label(prefix, "layer"), fontsize=LABEL_SIZE)
    figure.suptitle("Epoch drift: how far an epoch moves each layer", fontsize=TITLE_SIZE)
    return figure
