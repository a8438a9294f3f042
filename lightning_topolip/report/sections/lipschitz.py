"""Lipschitz constants, each labelled as the bound it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lightning_topolip.report.blocks import Note, Panel, Section, Table, galleries
from lightning_topolip.report.frame import SIZE, frame, legend, name_axes, tick_log
from lightning_topolip.report.palette import Style
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import MISSING, number, over_seeds
from lightning_topolip.topology.names import NETWORK, short_names

Bounds = Mapping[str, Sequence[float]]

_INTRO = (
    "How much a small change of the input can change the output at most. Lower bounds come from images of the probe, "
    "upper bounds from the operator norms of the weights; the true constant lies between them. The looser a bound, the "
    "less it says about the difference between models."
)


def lipschitz(source: Source) -> Section:
    """Show the Lipschitz constants of the networks and of their steps."""
    table = lipschitz_table(source)
    figures = galleries({data: [_panel(source, data, model) for model in source.models] for data in source.data})
    missing = [Note("These results hold no Lipschitz constants.")]
    blocks = [table, *figures] if table else figures
    return Section("lipschitz", "Lipschitz constants", _INTRO, blocks or missing)


def lipschitz_table(source: Source) -> Table | None:
    """List the Lipschitz constants of the networks, one row per data set and model; None if none was measured."""
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


def _panel(source: Source, data: str, model: str) -> Panel | None:
    local = source.last.find(data, "local_lipschitz", model=model, variant="max")
    bound = source.last.find(data, "lipschitz_bound", model=model, variant="upper")
    layers = [name for name in local.unique("layer") or bound.unique("layer") if name != NETWORK]
    lower = {layer: [value for value in local.where(layer=layer).values() if value > 0] for layer in layers}
    upper = {layer: [value for value in bound.where(layer=layer).values() if value > 0] for layer in layers}
    if not any(math.isfinite(value) for values in (*lower.values(), *upper.values()) for value in values):
        return None
    title = f"Lipschitz constants of the steps: {model}{source.title_suffix(data)}"
    labels = dict(zip(layers, short_names(layers), strict=True))
    steps = "; ".join(
        f"{labels[layer]} {_between(lower[layer], upper[layer])}" for layer in layers if lower[layer] or upper[layer]
    )
    figure = _bounds_figure(lower, upper, labels, source.styles[model], title)
    return Panel(figure, f"{title}. Lower to upper bound: {steps}.")


def _between(lower: Sequence[float], upper: Sequence[float]) -> str:
    return f"{number(max(lower, default=math.nan))} to {number(max(upper, default=math.nan))}"


def _bounds_figure(lower: Bounds, upper: Bounds, labels: Mapping[str, str], style: Style, title: str) -> Figure:
    """Draw the bounds of every step, one row per layer and one point per seed; `labels` are the names to show."""
    unbounded = [layer for layer in labels if any(map(math.isinf, upper[layer]))]
    note = "input side on top; one point per seed, line: between the bounds"
    if unbounded:
        note += "; arrow: no finite upper bound"
    figure, axes = frame(title, note, (SIZE[0], 1.5 + max(0.2 * len(labels), 1.5)))
    axes.set_xscale("log")
    handles = {}
    for row, layer in enumerate(labels):
        low, high = (list(filter(math.isfinite, bounds[layer])) for bounds in (lower, upper))
        if low and high:
            axes.plot([min(low), max(high)], [row, row], color=style.colour, linewidth=3, alpha=0.25)
        if low:
            label = "lower bound: local, largest over the probe"
            (handles["lower"],) = axes.plot(
                low, [row] * len(low), "|", color=style.ink, markersize=9, label=label, linestyle=""
            )
        if high:
            (handles["upper"],) = axes.plot(
                high,
                [row] * len(high),
                marker=style.marker,
                color=style.colour,
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
                arrowprops={"arrowstyle": "->", "color": style.colour},
            )
    tick_log(axes.xaxis)
    axes.set_yticks(range(len(labels)), list(labels.values()), fontsize=7.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    name_axes(axes, "Lipschitz constant of the step, log scale", "step to layer")
    legend(figure, list(handles.values()), columns=1)
    return figure
