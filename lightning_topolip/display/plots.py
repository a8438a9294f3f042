"""Figures as objects: smoothness curves, comparisons, the map of layers and epochs, persistence diagrams."""

from lightning_topolip.display.comparison_plot import comparison_figure
from lightning_topolip.display.diagrams_plot import diagrams_figure
from lightning_topolip.display.epoch_map_plot import epoch_map_figure
from lightning_topolip.display.smoothness_plot import highest_drift, report_figure, smoothness_figure

__all__ = [
    "comparison_figure",
    "diagrams_figure",
    "epoch_map_figure",
    "highest_drift",
    "report_figure",
    "smoothness_figure",
]
