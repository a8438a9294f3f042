"""Geometry over depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from lightning_topolip.report.blocks import Note, Panel, Section, galleries
from lightning_topolip.report.curves import Curve, curves, describe
from lightning_topolip.report.frame import frame, legend, name_axes, tick_log
from lightning_topolip.report.lines import legend_line, lines
from lightning_topolip.report.palette import Style
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.results import Results


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
    "The point cloud of the probe in each layer at the last epoch: how large it is, how many directions it fills, and "
    "how many balls of a radius cover it. Position 0 is the input, 1 the last layer."
)


def geometry(source: Source) -> Section:
    """Show size, dimensions and covering numbers of the layers at the last epoch."""
    blocks = galleries(
        {
            data: [*(_over_depth(source, data, quantity) for quantity in _QUANTITIES), _covering(source, data)]
            for data in source.data
        }
    )
    missing = [Note("These results hold no geometry of the layers.")]
    return Section("geometry", "Geometry over depth", _INTRO, blocks or missing)


def _over_depth(source: Source, data: str, quantity: str) -> Panel | None:
    positions = source.positions(data, quantity)
    rows = source.last.find(data, quantity)
    of_models = curves(rows, lambda row: positions[row.model, row.layer], source.models)
    name, y, log = _QUANTITIES[quantity]
    title, x = f"{name}{source.title_suffix(data)}", "position of the layer, input 0, last layer 1"
    return lines(of_models, source.styles, title, x, y, log=log)


def _covering(source: Source, data: str) -> Panel | None:
    upper, lower = (
        curves(_last_layer(source, data, quantity), lambda row: row.strength, source.models)
        for quantity in ("covering_number", "packing_number")
    )
    if not upper:
        return None
    title = f"Covering number of the last layer{source.title_suffix(data)}"
    alt = describe(upper, "radius in units of the layer's mean distance", f"{title}, upper bound,")
    return Panel(_covering_figure(upper, lower, source.styles, title), alt)


def _last_layer(source: Source, data: str, quantity: str) -> Results:
    last = {model: source.layers(data, model, quantity)[-1:] for model in source.models}
    return Results(row for row in source.last.find(data, quantity) if [row.layer] == last[row.model])


def _covering_figure(upper: Sequence[Curve], lower: Sequence[Curve], styles: Mapping[str, Style], title: str) -> Figure:
    """Draw the greedy cover over the radius, and the packing at twice the radius for the models that have one."""
    figure, axes = frame(title, "thick: greedy cover, an upper bound; thin: packing, a lower bound; mean over seeds")
    axes.set_yscale("log")
    packings = {curve.model: curve for curve in lower}
    for curve in upper:
        style = styles[curve.model]
        axes.plot(curve.x, curve.mean, linewidth=1.9, markersize=4, **style.line)
        if curve.model in packings:
            packing = packings[curve.model]
            axes.plot(packing.x, packing.mean, color=style.colour, linewidth=0.9)
            if packing.x.tolist() == curve.x.tolist():
                axes.fill_between(curve.x, packing.mean, curve.mean, color=style.colour, alpha=0.12, linewidth=0)
    tick_log(axes.yaxis)
    name_axes(axes, "radius, in units of the layer's mean distance", "balls needed to cover the probe")
    legend(figure, [legend_line(curve.model, styles[curve.model]) for curve in upper])
    return figure
