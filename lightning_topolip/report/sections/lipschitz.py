"""Lipschitz constants."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section, Table
from lightning_topolip.report.formats import MISSING, number, over_seeds
from lightning_topolip.report.frame import SIZE, frame, legend, name_axes, tick_log
from lightning_topolip.report.palette import Look
from lightning_topolip.report.source import Source
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


def lipschitz_table(source: Source) -> Table | None:
    """List the Lipschitz constants of whole networks.

    Args:
        source: The study.

    Returns:
        A row a data set and model; None where nothing was measured.
    """
    rows = [
        [data, model, *cells]
        for data in source.data
        for model in source.models
        if set(cells := _cells(source, data, model)) != {MISSING}
    ]
    header = [
        "data",
        "model",
        "pairs of images, input to last layer (lower bound)",
        "local, mean over images, input to logits (lower bound)",
        "local, largest over images, input to logits (lower bound)",
        "whole network (upper bound)",
    ]
    caption = (
        "Lipschitz constants of the networks at the last epoch, mean ± standard deviation over seeds. The constant of "
        "a network on the region of the probe lies between its largest lower bound and its upper bound; ∞: no finite "
        "bound is known."
    )
    return Table(caption, header, rows) if rows else None


def _cells(source: Source, data: str, model: str) -> list[str]:
    names = ("pairwise_lipschitz", "local_lipschitz_mean", "local_lipschitz", "lipschitz_bound")
    return [over_seeds(source.summary(data, model, name)) for name in names]


def bounds(
    lower: Mapping[str, Sequence[float]],
    upper: Mapping[str, Sequence[float]],
    labels: Mapping[str, str],
    look: Look,
    title: str,
    y: str,
) -> Figure:
    """Draw between which values the Lipschitz constant of every step lies.

    Args:
        lower: By layer, a number a seed.
        upper: The same; infinite where there is no bound.
        labels: By layer, the input side first, the name shown.
        look: Colour of the model.
        title: What is seen.
        y: Label of the quantity.

    Returns:
        The figure.
    """
    unbounded = [layer for layer in labels if any(map(math.isinf, upper.get(layer, [])))]
    note = "input side on top; one point a seed, line: between the bounds"
    if unbounded:
        note += "; arrow: no finite upper bound"
    figure, axes = frame(title, note, (SIZE[0], 1.5 + max(0.2 * len(labels), 1.5)))
    axes.set_xscale("log")
    handles = {}
    for row, layer in enumerate(labels):
        low = [value for value in lower.get(layer, []) if math.isfinite(value) and value > 0]
        high = [value for value in upper.get(layer, []) if math.isfinite(value) and value > 0]
        if low and high:
            axes.plot([min(low), max(high)], [row, row], color=look.colour, linewidth=3, alpha=0.25)
        if low:
            (handles["lower"],) = axes.plot(
                low,
                [row] * len(low),
                "|",
                color=look.ink,
                markersize=9,
                label="lower bound: local, largest over the probe",
                linestyle="",
            )
        if high:
            (handles["upper"],) = axes.plot(
                high,
                [row] * len(high),
                marker=look.marker,
                color=look.colour,
                mfc="white",
                markersize=5,
                label="upper bound",
                linestyle="",
            )
        if low and layer in unbounded:
            axes.annotate(
                "",
                (1.0, row),
                (max(low), row),
                xycoords=("axes fraction", "data"),
                textcoords="data",
                arrowprops={"arrowstyle": "->", "color": look.colour},
            )
    tick_log(axes.xaxis)
    axes.set_yticks(range(len(labels)), list(labels.values()), fontsize=7.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    name_axes(axes, y, "step to layer")
    legend(figure, list(handles.values()), columns=1)
    return figure
