"""Lipschitz constants."""

from __future__ import annotations

import math

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section
from lightning_topolip.report.figures.bounds import bounds
from lightning_topolip.report.formats import number
from lightning_topolip.report.source import Source
from lightning_topolip.report.tables.lipschitz import lipschitz_table
from lightning_topolip.topology.names import NETWORK, short_names

_INTRO = (
    "How much a small change of the input can change the output at most. Lower bounds come from images of the probe, "
    "upper bounds from the operator norms of the weights; the truth lies between. The looser a bound, the less a "
    "comparison of models by it means."
)


def lipschitz(source: Source) -> Section:
    """Show Lipschitz constants of whole networks and of their steps.

    Args:
        source: The study.

    Returns:
        A table, and a gallery a data set.
    """
    blocks: list[Block] = []
    table = lipschitz_table(source)
    if table:
        blocks.append(table)
    for data in source.data:
        panels = [panel for model in source.models if (panel := _steps(source, data, model))]
        if panels:
            blocks.append(Gallery(panels, data))
    missing = [Note("These results hold no Lipschitz constants.")]
    return Section("lipschitz", "Lipschitz constants", _INTRO, blocks or missing)


def _steps(source: Source, data: str, model: str) -> Panel | None:
    local = source.last.find(data, "local_lipschitz", model=model, variant="max")
    bound = source.last.find(data, "lipschitz_bound", model=model, variant="upper")
    layers = [name for name in local.unique("layer") or bound.unique("layer") if name != NETWORK]
    lower = {layer: [value for value in local.where(layer=layer).values() if value > 0] for layer in layers}
    upper = {layer: [value for value in bound.where(layer=layer).values() if value > 0] for layer in layers}
    if not any(math.isfinite(value) for found in (*lower.values(), *upper.values()) for value in found):
        return None
    title = f"Lipschitz constants of the steps: {model}{source.of_data(data)}"
    labels = dict(zip(layers, short_names(layers), strict=True))
    figure = bounds(lower, upper, labels, source.looks[model], title, "Lipschitz constant of the step, log scale")
    steps = "; ".join(
        f"{labels[layer]} {_between(lower[layer], upper[layer])}" for layer in layers if lower[layer] or upper[layer]
    )
    return Panel(figure, f"{title}. Lower to upper bound: {steps}.")


def _between(lower: list[float], upper: list[float]) -> str:
    return f"{number(max(lower, default=math.nan))} to {number(max(upper, default=math.nan))}"
