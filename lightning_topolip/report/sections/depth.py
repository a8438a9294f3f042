"""Smoothness over depth."""

from __future__ import annotations

from itertools import zip_longest

from lightning_topolip.report.blocks import Note, Panel, Section, Table, galleries
from lightning_topolip.report.curves import curves
from lightning_topolip.report.lines import lines
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import join_names, number
from lightning_topolip.study.judging.summaries import HEADLINE

_DRIFT = "W2 per sample"
_SCALED = "scaled"
_FORMS = {
    HEADLINE: ("Drift from layer to layer, at the end", f"drift ({_DRIFT}), {_SCALED}"),
    f"{HEADLINE} H0": ("Drift of components (H0), at the end", f"drift ({_DRIFT}, H0), {_SCALED}"),
    f"{HEADLINE} H1": ("Drift of loops (H1), at the end", f"drift ({_DRIFT}, H1), {_SCALED}"),
    "raw W2": ("Raw drift from layer to layer, at the end", f"drift ({_DRIFT}), in activation units"),
}
_INTRO = (
    "The drift of a layer is the Wasserstein distance between the persistence diagrams of the previous layer and its "
    "own, per sample of the probe: how far it moves the shape of the data. Scaled: in units of each layer's mean "
    "distance. A flat curve is a smooth network. A shade of two standard errors says how far one seed's curve would "
    "move on another probe of the same size. Position 0 is the input, 1 the last layer; the hollow point is the step "
    "from the input, which TopoLip excludes."
)


def depth(source: Source) -> Section:
    """Show the drift over depth at the last epoch."""
    blocks = galleries({data: [_drifts(source, data, form) for form in _FORMS] for data in source.data})
    table = _layers_table(source)
    if table:
        blocks.append(table)
    return Section("depth", "Smoothness over depth", _INTRO, blocks or [Note("These results hold no drifts.")])


def _drifts(source: Source, data: str, form: str) -> Panel | None:
    positions = source.positions(data, "drift")
    rows = source.last.find(data, "drift", variant=form)
    drifts = curves(rows, lambda row: positions[row.model, row.layer], source.models)
    name, y = _FORMS[form]
    title, x = f"{name}{source.title_suffix(data)}", "position of the later layer, input 0, last layer 1"
    return lines(drifts, source.styles, title, x, y, log=form.startswith("raw"), apart=True)


def _layers_table(source: Source) -> Table | None:
    """List position and name of the layers, two columns per model, or models with the same; None without drifts."""
    columns = {model: _layers(source, model) for model in source.models}
    columns = {model: names for model, names in columns.items() if names}
    if not columns:
        return None
    groups: dict[tuple[str, ...], list[str]] = {}
    for model, names in columns.items():
        groups.setdefault(tuple(names), []).append(model)
    placed = [[(number((i + 1) / len(names), 2), name) for i, name in enumerate(names)] for names in groups]
    rows = [
        [str(index + 1), *(text for cell in cells for text in cell)]
        for index, cells in enumerate(zip_longest(*placed, fillvalue=("", "")))
    ]
    titles = [join_names(models) for models in groups.values()]
    header = ["layer", *(text for title in titles for text in (f"{title}: position", f"{title}: name"))]
    return Table("Layers and their positions between 0, the input, and 1, the last layer.", header, rows, folded=True)


def _layers(source: Source, model: str) -> list[str]:
    return next((layers for data in source.data if (layers := source.layers(data, model, "drift"))), [])
