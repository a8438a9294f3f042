"""The persistence diagrams of some layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from lightning_topolip.display.panels import view_unit
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.smoothness_report import SmoothnessReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DIMENSION_STYLES = (
    ("H0", "#0072B2", "o"),
    ("H1", "#D55E00", "^"),
    ("H2", "#009E73", "s"),
    ("H3", "#CC79A7", "D"),
)


def diagrams_figure(report: SmoothnessReport, layers: Sequence[str] | None = None) -> Figure:
    """Draw the persistence diagrams of some layers (by default first, middle and last) in the headline's view.

    Raises:
        ValueError: If a layer was not analysed.
    """
    names = list(layers) if layers else _first_middle_last(list(report.layers))
    if not names or not set(names) <= set(report.layers):
        raise ValueError(f"Argument `layers` must name analysed layers of {list(report.layers)}, got {layers!r}.")
    figure = Figure(figsize=(3.4 * len(names) + 0.4, 4.1))
    figure.suptitle(f"Persistence diagrams, {view_unit(report)}", fontsize=10)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_diagram(axes, report, name)
    figure.subplots_adjust(left=0.2 / len(names), right=0.98, top=0.85, bottom=0.12, wspace=0.3)
    return figure


def _draw_diagram(axes: Axes, report: SmoothnessReport, name: str) -> None:
    layer = report.topology[report.layers.index(name)]
    if layer is None or (report.settings.view == "scaled" and layer.degenerate):
        axes.set_title(f"{name}: no {report.settings.view} diagram", fontsize=9)
        return
    diagrams = layer.view(report.settings.view)
    for dimension, points in diagrams.items():
        label, colour, marker = _DIMENSION_STYLES[dimension]
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=12,
            color=colour,
            marker=marker,
            alpha=0.6,
            label=f"{label}, {len(points)} points",
        )
    limit = max((points.max() for points in diagrams.values() if points.size), default=1.0) * 1.05
    axes.plot([0, limit], [0, limit], color="0.4", linewidth=1)
    axes.set(xlabel="birth", ylabel="death", xlim=(-0.03 * limit, limit), ylim=(0, limit), aspect="equal")
    axes.set_title(name, fontsize=10)
    axes.legend(fontsize=8, loc="lower right")


def _first_middle_last(names: list[str]) -> list[str]:
    layers = [name for name in names if name != INPUT]
    return list(dict.fromkeys([layers[0], layers[len(layers) // 2], layers[-1]])) if layers else names
