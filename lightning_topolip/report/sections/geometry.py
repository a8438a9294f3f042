"""Geometry over depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section
from lightning_topolip.report.curves import Curve, curves, describe
from lightning_topolip.report.frame import frame, legend, name_axes, tick_log
from lightning_topolip.report.lines import handle, lines
from lightning_topolip.report.palette import Look
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.results import Results
from lightning_topolip.topology.names import INPUT


class _Quantity(NamedTuple):
    title: str
    y: str
    log: bool


_QUANTITIES = {
    "total_variance": _Quantity("Total variance over depth", "total variance, squared activation units", True),
    "two_nn_dimension": _Quantity("Intrinsic dimension over depth, TwoNN", "intrinsic dimension (TwoNN)", False),
    "participation_ratio": _Quantity("Participation ratio over depth", "directions that carry the variance", False),
    "covering_dimension": _Quantity("Covering dimension over depth", "covering dimension", False),
}
_INTRO = (
    "The cloud that the probe makes in each layer at the last epoch: how large it is, how many directions it fills, "
    "and how many balls of a radius cover it. Position 0 is the input, 1 the last layer."
)


def geometry(source: Source) -> Section:
    """Show size, dimensions and covering numbers of the layers at the last epoch.

    Args:
        source: The study.

    Returns:
        A gallery a data set.
    """
    blocks: list[Block] = []
    for data in source.data:
        panels = [_over_depth(source, data, quantity) for quantity in _QUANTITIES]
        panels.append(_covering(source, data))
        found = [panel for panel in panels if panel is not None]
        if found:
            blocks.append(Gallery(found, data))
    missing = [Note("These results hold no geometry of the layers.")]
    return Section("geometry", "Geometry over depth", _INTRO, blocks or missing)


def _over_depth(source: Source, data: str, quantity: str) -> Panel | None:
    places = source.positions(data, quantity)
    found = curves(source.last.find(data, quantity), lambda row: places[row.model, row.layer], source.models)
    if not found:
        return None
    shown = _QUANTITIES[quantity]
    title, axis = f"{shown.title}{source.of_data(data)}", "position of the layer, input 0, last layer 1"
    return Panel(lines(found, source.looks, title, axis, shown.y, log=shown.log), describe(found, axis, title))


def _covering(source: Source, data: str) -> Panel | None:
    upper, lower = (
        curves(_last_layer(source, data, quantity), lambda row: row.strength, source.models)
        for quantity in ("covering_number", "packing_number")
    )
    if not upper:
        return None
    title = f"Covering number of the last layer{source.of_data(data)}"
    alt = describe(upper, "radius in units of the layer's mean distance", f"{title}, upper bound,")
    return Panel(covering(upper, lower, source.looks, title), alt)


def _last_layer(source: Source, data: str, quantity: str) -> Results:
    found = source.last.find(data, quantity)
    last = {
        model: [name for name in source.layers(data, model, quantity) if name != INPUT][-1:] for model in source.models
    }
    return Results(row for row in found if [row.layer] == last[row.model])


def covering(upper: Sequence[Curve], lower: Sequence[Curve], looks: Mapping[str, Look], title: str) -> Figure:
    """Draw between which values the covering number lies.

    Args:
        upper: Size of the greedy cover, a curve a model, over the radius.
        lower: Size of the packing at twice the radius, a curve a model that has one.
        looks: How each model is drawn.
        title: What is seen.

    Returns:
        The figure.
    """
    figure, axes = frame(title, "thick: greedy cover, an upper bound; thin: packing, a lower bound; mean over seeds")
    axes.set_yscale("log")
    packings = {curve.model: curve for curve in lower}
    for curve in upper:
        look = looks[curve.model]
        axes.plot(
            curve.x,
            curve.mean,
            color=look.colour,
            linestyle=look.dashes,
            linewidth=1.9,
            marker=look.marker,
            markersize=4,
        )
        if curve.model in packings:
            packing = packings[curve.model]
            axes.plot(packing.x, packing.mean, color=look.colour, linewidth=0.9)
            if packing.x.tolist() == curve.x.tolist():
                axes.fill_between(curve.x, packing.mean, curve.mean, color=look.colour, alpha=0.12, linewidth=0)
    tick_log(axes.yaxis)
    name_axes(axes, "radius, in units of the layer's mean distance", "balls needed to cover the probe")
    legend(figure, [handle(curve.model, looks[curve.model]) for curve in upper])
    return figure
