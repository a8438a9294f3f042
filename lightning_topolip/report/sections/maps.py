"""Layer x epoch maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section
from lightning_topolip.report.curves import Array
from lightning_topolip.report.frame import SIZE, frame, name_axes
from lightning_topolip.report.palette import MAP
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import number
from lightning_topolip.study.judging.summaries import HEADLINE
from lightning_topolip.topology.names import INPUT, short_names

_QUANTITIES = {"drift": "Drift from layer to layer", "epoch_drift": "Epoch drift: how far an epoch moves a layer"}
_UNIT = "W2 per sample, scaled"
_INTRO = (
    "Where in the network and when in training the shape of the data changes. One run per model, the first seed. "
    "Scaled: in units of each layer's mean distance. All maps of a data set and quantity share the scale above them. "
    "For the drift, it ends at the largest value after the first layer; a larger step from the input gets the top "
    "colour."
)


class _Map(NamedTuple):
    model: str
    seed: int
    layers: list[str]
    epochs: list[float]
    values: Array


def maps(source: Source) -> Section:
    """Show drift and epoch drift by layer and epoch."""
    blocks: list[Block] = []
    for data in source.data:
        for quantity, name in _QUANTITIES.items():
            of_models = [map_ for model in source.models if (map_ := _map(source, data, model, quantity))]
            top = max((_top(map_.values, quantity) for map_ in of_models), default=0.0)
            if top > 0:
                panels = [
                    _panel(map_, top, f"{name.split(':')[0]}: {map_.model}{source.title_suffix(data)}")
                    for map_ in of_models
                ]
                beyond = any(np.nanmax(map_.values) > top * (1 + 1e-9) for map_ in of_models)
                blocks.append(Gallery(panels, f"{data}. {name}", columns=3, scale=_scale(top, beyond)))
    missing = [Note("These results hold no layers over several epochs.")]
    return Section("maps", "Layer by epoch", _INTRO, blocks or missing)


def _map(source: Source, data: str, model: str, quantity: str) -> _Map | None:
    rows = source.find(data, quantity, model=model, variant=HEADLINE)
    if not np.isfinite(rows.values()).any():
        return None
    seed = rows.unique("seed")[0]
    rows = rows.where(seed=seed)
    cells = {(row.layer, row.epoch): row.value for row in rows}
    layers = [name for name in rows.unique("layer") if name != INPUT]
    epochs = sorted(rows.unique("epoch"))
    values = np.array([[cells.get((layer, epoch), math.nan) for epoch in epochs] for layer in layers])
    if len(epochs) < 2 or not np.isfinite(values).any():
        return None
    return _Map(model, seed, layers, epochs, values)


def _top(values: Array, quantity: str) -> float:
    after_the_first = values[1:] if quantity == "drift" else values
    scaled = after_the_first if np.isfinite(after_the_first).any() else values
    return float(np.max(scaled[np.isfinite(scaled)]))


def _panel(map_: _Map, top: float, title: str) -> Panel:
    subtitle = f"seed {map_.seed}, input side on top"
    figure = _map_figure(map_.values, short_names(map_.layers), map_.epochs, top, map_.model, subtitle)
    layer, epoch = np.unravel_index(int(np.nanargmax(map_.values)), map_.values.shape)
    alt = (
        f"{title}, a map of {len(map_.layers)} layers by {len(map_.epochs)} epochs. "
        f"Largest: {number(map_.values[layer, epoch])} at {map_.layers[layer]}, epoch {map_.epochs[epoch]:g}."
    )
    return Panel(figure, alt)


def _map_figure(
    values: Array, layers: Sequence[str], epochs: Sequence[float], top: float, title: str, subtitle: str
) -> Figure:
    """Draw values of shape ``(layers, epochs)``; NaN is white, and values above `top` get the top colour."""
    height = 1.35 + max(0.17 * len(layers), 1.6)
    figure, axes = frame(title, subtitle, (3.4, height))
    axes.grid(visible=False)
    extent = (0, len(epochs), len(layers), 0)
    axes.imshow(values, cmap=MAP, vmin=0, vmax=top, aspect="auto", interpolation="none", extent=extent)
    every = max(1, round(len(epochs) / 10))
    axes.set_xticks(np.arange(len(epochs))[::every] + 0.5, [f"{epoch:g}" for epoch in epochs][::every])
    every = max(1, round(len(layers) / 30))
    axes.set_yticks(np.arange(len(layers))[::every] + 0.5, list(layers)[::every], fontsize=7.5)
    name_axes(axes, "epochs trained", "layer")
    return figure


def _scale(top: float, beyond: bool) -> Panel:
    """Draw the colours of all maps of a gallery; an arrow says that there are values beyond the top."""
    figure = Figure(figsize=(SIZE[0], 0.55), layout="constrained")
    figure.patch.set_visible(False)
    colours = ScalarMappable(Normalize(0, top), MAP)
    extend = "max" if beyond else "neither"
    bar = figure.colorbar(colours, cax=figure.subplots(), orientation="horizontal", extend=extend)
    bar.ax.tick_params(length=0, labelsize=7.5)
    bar.set_label(_UNIT, fontsize=8)
    return Panel(figure, f"Colours from 0 to {number(top)} ({_UNIT}).")
