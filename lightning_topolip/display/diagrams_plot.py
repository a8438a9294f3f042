"""The persistence diagrams of some layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_topolip.display.layer_axis import common_prefix, shortened
from lightning_topolip.display.panels import (
    CAPTION_SIZE,
    LABEL_SIZE,
    TICK_SIZE,
    TITLE_SIZE,
    after_epochs,
    new_figure,
    view_unit,
)
from lightning_topolip.topology.estimate import Array
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
_LONGEST_PREFIX = 36

Diagrams = dict[int, Array]


def diagrams_figure(
    report: SmoothnessReport, layers: Sequence[str] | None = None, *, epoch: float | None = None
) -> Figure:
    """Draw persistence diagrams in the headline's view, side by side on one scale.

    Args:
        report: The report.
        layers: The layers; by default first, middle and last.
        epoch: Epochs trained, for the title.

    Raises:
        ValueError: If a layer was not analysed.
    """
    names = list(layers) if layers else _first_middle_last(list(report.layers))
    if not names or not set(names) <= set(report.layers):
        raise ValueError(f"Argument `layers` must name analysed layers of {list(report.layers)}, got {layers!r}.")
    diagrams = {name: _diagrams_of(report, name) for name in names}
    limit = 1.05 * max((points.max() for own in diagrams.values() for points in own.values() if points.size), default=1)
    prefix = common_prefix(names) if len(names) > 1 else ""
    figure = new_figure(3.5, 2.1 * len(names) + 0.9)
    panels = figure.subplots(1, len(names), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, own) in zip(panels, diagrams.items(), strict=True):
        _draw_diagrams(axes, own, limit)
        axes.set_title(f"{'layer ' if prefix else ''}{shortened(name.removeprefix(prefix))}", fontsize=LABEL_SIZE)
        if not own:
            axes.text(0.5, 0.5, f"no {report.settings.view} diagram", transform=axes.transAxes, ha="center")
    panels[0].set_ylabel("death", fontsize=LABEL_SIZE)
    of = f"\nlayers {shortened(prefix, _LONGEST_PREFIX)}*" if prefix else ""
    figure.supxlabel(f"birth, {view_unit(report)}{of}", fontsize=LABEL_SIZE if len(names) > 1 else CAPTION_SIZE)
    title = filter(None, ["Persistence diagrams", "" if epoch is None else after_epochs(epoch)])
    figure.suptitle((" " if len(names) > 1 else "\n").join(title), fontsize=TITLE_SIZE)
    return figure


def _diagrams_of(report: SmoothnessReport, name: str) -> Diagrams:
    """The diagrams of a layer by dimension; none if it could not be measured."""
    layer = report.topology[report.layers.index(name)]
    view = report.settings.view
    return {} if layer is None or (view == "scaled" and layer.degenerate) else dict(layer.view(view))


def _draw_diagrams(axes: Axes, diagrams: Diagrams, limit: float) -> None:
    axes.plot([0, limit], [0, limit], color="0.4", linewidth=1)
    axes.set(xlim=(-0.04 * limit, limit), ylim=(-0.04 * limit, limit), aspect="equal")
    axes.tick_params(labelsize=TICK_SIZE)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    for dimension, points in diagrams.items():
        label, colour, marker = _DIMENSION_STYLES[dimension]
        label = f"{label}: {len(points)}"
        axes.scatter(points[:, 0], points[:, 1], s=16, color=colour, marker=marker, alpha=0.6, label=label)
    if diagrams:
        axes.legend(fontsize=CAPTION_SIZE, loc="lower right", handletextpad=0.1, borderpad=0.3)


def _first_middle_last(names: list[str]) -> list[str]:
    layers = [name for name in names if name != INPUT]
    return list(dict.fromkeys([layers[0], layers[len(layers) // 2], layers[-1]])) if layers else names
