"""Which layers the positions in the figures stand for."""

from __future__ import annotations

from itertools import zip_longest

from lightning_topolip.report.blocks import Table
from lightning_topolip.report.formats import number
from lightning_topolip.report.source import Source
from lightning_topolip.topology.names import INPUT


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
