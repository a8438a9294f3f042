"""Smoothness over depth."""

from __future__ import annotations

from itertools import zip_longest

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section, Table
from lightning_topolip.report.curves import curves, describe
from lightning_topolip.report.formats import number
from lightning_topolip.report.lines import lines
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.summaries import HEADLINE
from lightning_topolip.topology.names import INPUT

_SCALED = "in units of the layer's mean distance"
_FORMS = {
    HEADLINE: ("Drift from layer to layer, at the end", f"drift (W2), {_SCALED}"),
    f"{HEADLINE} H0": ("Drift of components (H0), at the end", f"drift (W2, H0), {_SCALED}"),
    f"{HEADLINE} H1": ("Drift of loops (H1), at the end", f"drift (W2, H1), {_SCALED}"),
    "raw W2": ("Raw drift from layer to layer, at the end", "drift (W2), in activation units"),
}
_INTRO = (
    "The drift of a layer is the Wasserstein distance between the persistence diagrams of the layer before and its "
    "own: how far it carries the shape of the data. A flat curve is a smooth network. Position 0 is the input, 1 the "
    "last layer; the hollow point is the step from the input, which TopoLip leaves out."
)


def depth(source: Source) -> Section:
    """Show the drift against depth at the last epoch, and how it stands against noise.

    Args:
        source: The study.

    Returns:
        A gallery a data set.
    """
    blocks: list[Block] = []
    for data in source.data:
        panels = [panel for form in _FORMS if (panel := _drifts(source, data, form))]
        panels += [panel for panel in [_noise(source, data)] if panel]
        if panels:
            blocks.append(Gallery(panels, data))
    table = layers_table(source)
    if table:
        blocks.append(table)
    return Section("depth", "Smoothness over depth", _INTRO, blocks or [Note("These results hold no drifts.")])


def _drifts(source: Source, data: str, form: str) -> Panel | None:
    places = source.positions(data, "drift")
    rows = source.last.find(data, "drift", variant=form)
    found = curves(rows, lambda row: places[row.model, row.layer], source.models)
    if not found:
        return None
    name, unit = _FORMS[form]
    title = f"{name}{source.of_data(data)}"
    axis = "position of the later layer, input 0, last layer 1"
    figure = lines(found, source.looks, title, axis, unit, log=form.startswith("raw"), first_apart=True)
    return Panel(figure, describe(found, axis, title))


def _noise(source: Source, data: str) -> Panel | None:
    noises = {_cell(row): row.value for row in source.find(data, "noise", variant=HEADLINE)}
    signals = source.find(data, "signal", variant=HEADLINE)
    ratios = Results(
        _replaced(row, row.value / noises[_cell(row)]) for row in signals if noises.get(_cell(row), 0.0) > 0
    )
    found = curves(ratios, lambda row: row.epoch, source.models)
    if not found:
        return None
    title = f"Drift against noise{source.of_data(data)}"
    y = "median drift / median noise, halves of the probe"
    figure = lines(found, source.looks, title, "epochs trained", y, reference=(1.0, "as much as noise"))
    return Panel(figure, describe(found, "epochs", y))


def _cell(row: Row) -> tuple[str, int, float]:
    return row.model, row.seed, row.epoch


def _replaced(row: Row, value: float) -> Row:
    return Row(row.data, row.model, row.seed, row.epoch, "signal over noise", row.variant, "", "", 0.0, value)


def layers_table(source: Source) -> Table | None:
    """List the layers of every model, the input side first.

    Args:
        source: The study.

    Returns:
        A row a layer number, two columns a model: position and name; None without drifts.
    """
    columns = {model: _layers(source, model) for model in source.models}
    columns = {model: names for model, names in columns.items() if names}
    if not columns:
        return None
    placed = [[(number((i + 1) / len(names), 2), name) for i, name in enumerate(names)] for names in columns.values()]
    rows = [
        [str(index + 1), *(text for cell in cells for text in cell)]
        for index, cells in enumerate(zip_longest(*placed, fillvalue=("", "")))
    ]
    header = ["layer", *(text for model in columns for text in (f"{model}: position", f"{model}: name"))]
    return Table("Layers and their positions between 0, the input, and 1, the last layer.", header, rows, folded=True)


def _layers(source: Source, model: str) -> list[str]:
    return next((found for data in source.data if (found := _own(source, data, model))), [])


def _own(source: Source, data: str, model: str) -> list[str]:
    return [name for name in source.layers(data, model, "drift") if name != INPUT]
