"""Geometry over depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from lightning_topolip.report.blocks import Note, Panel, Section, galleries
from lightning_topolip.report.curves import Curve, curves, describe
from lightning_topolip.report.frame import frame, name_axes, tick_log
from lightning_topolip.report.lines import fill_band, lines
from lightning_topolip.report.palette import Style
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.names import NAMES, capitalised
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import AT_INPUT_SPACING


class _Quantity(NamedTuple):
    y: str
    log: bool


_QUANTITIES = {
    "total_variance": _Quantity("total variance, squared activation units", True),
    "two_nn_dimension": _Quantity("dimensions", False),
    "participation_ratio": _Quantity("directions that carry the variance", False),
    "covering_dimension": _Quantity("dimensions", False),
}
_POSITION = "position of the layer, input 0, last layer 1"
_RADIUS = "radius, in units of the layer's mean distance"
_BOUNDS = ("covering_number", "packing_number")
_INTRO = (
    "The point cloud of the probe in each layer at the last epoch: how large it is, how many directions it fills, and "
    "how many balls of a radius cover it. Models compare at a radius where a ball holds some samples and not all: the "
    "median distance of a sample from its nearest neighbour in the input. Position 0 is the input, 1 the last layer."
)


def geometry(source: Source) -> Section:
    """Show size, dimensions and covering numbers of the layers at the last epoch."""
    blocks = galleries(
        {
            data: [
                *(_over_depth(source, data, quantity) for quantity in _QUANTITIES),
                _covering(source, data),
                _covering_over_depth(source, data),
            ]
            for data in source.data
        }
    )
    missing = [Note("These results hold no geometry of the layers.")]
    return Section("geometry", "Geometry over depth", _INTRO, blocks or missing)


def _over_depth(source: Source, data: str, quantity: str) -> Panel | None:
    positions = source.positions(data, quantity)
    rows = source.last.find(data, quantity)
    of_models = curves(rows, lambda row: positions[row.model, row.layer], source.models)
    y, log = _QUANTITIES[quantity]
    title = f"{capitalised(NAMES[quantity])} over depth{source.title_suffix(data)}"
    return lines(of_models, source.styles, title, _POSITION, y, log=log)


def _covering(source: Source, data: str) -> Panel | None:
    upper, lower = (
        curves(_last_layer(source, data, quantity), lambda row: row.strength, source.models) for quantity in _BOUNDS
    )
    title = f"Covering number of the last layer{source.title_suffix(data)}"
    return _covering_panel(upper, lower, source.styles, title, _RADIUS)


def _last_layer(source: Source, data: str, quantity: str) -> Results:
    last = {model: source.layers(data, model, quantity)[-1:] for model in source.models}
    rows = source.last.find(data, quantity, variant="")
    return Results(row for row in rows if [row.layer] == last[row.model])


def _covering_over_depth(source: Source, data: str) -> Panel | None:
    upper, lower = (_at_input_spacing(source, data, quantity) for quantity in _BOUNDS)
    title = f"Covering number at the spacing of the input{source.title_suffix(data)}"
    return _covering_panel(upper, lower, source.styles, title, _POSITION)


def _at_input_spacing(source: Source, data: str, quantity: str) -> list[Curve]:
    positions = source.positions(data, quantity)
    rows = source.last.find(data, quantity, variant=AT_INPUT_SPACING)
    return curves(rows, lambda row: positions[row.model, row.layer], source.models)


def _covering_panel(
    upper: Sequence[Curve], lower: Sequence[Curve], styles: Mapping[str, Style], title: str, x: str
) -> Panel | None:
    if not upper:
        return None
    keys = {curve.model: styles[curve.model] for curve in upper}
    return Panel(_covering_figure(upper, lower, styles, title, x), describe(upper, x, f"{title}, upper bound,"), keys)


def _covering_figure(
    upper: Sequence[Curve], lower: Sequence[Curve], styles: Mapping[str, Style], title: str, x: str
) -> Figure:
    """Draw the greedy cover, and the packing at twice the radius for the models that have one."""
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
                fill_band(axes, curve.x, packing.mean, curve.mean, style, 0.12)
    tick_log(axes.yaxis)
    name_axes(axes, x, "balls needed to cover the probe")
    return figure
