"""Persistence diagrams of the first, the middle and the last layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section
from lightning_topolip.report.curves import Array
from lightning_topolip.report.figures.diagrams import as_points, diagram
from lightning_topolip.report.formats import number
from lightning_topolip.report.source import Source
from lightning_topolip.topology.names import short_names

_INTRO = (
    "Each point is a feature of the cloud that the probe makes in a layer: a component (H0) or a loop (H1), by the "
    "distances at which it appears and disappears, in units of the layer's mean distance. Far from the diagonal: it "
    "lasts. All diagrams of a data set share their axes."
)


def diagrams(source: Source) -> Section:
    """Show the diagrams that the study kept.

    Args:
        source: The study.

    Returns:
        A gallery a data set and model.
    """
    blocks: list[Block] = []
    for data in source.data:
        kept = {model: found for model in source.models if (found := source.diagrams.get(f"{data}/{model}"))}
        scaled = {model: _scaled(found) for model, found in kept.items()}
        top = 1.05 * max((_largest(points) for layers in scaled.values() for points in layers.values()), default=0.0)
        for model, layers in scaled.items():
            if layers and top > 0:
                heading = f"{data}: {model}, seed {kept[model]['seed']}, epoch {kept[model]['epoch']:g}"
                names = dict(zip(layers, short_names(list(layers)), strict=True))
                panels = [_panel(model, names[layer], points, top) for layer, points in layers.items()]
                blocks.append(Gallery(panels, heading, columns=3))
    missing = [Note("These results hold no diagrams.")]
    return Section("diagrams", "Persistence diagrams", _INTRO, blocks or missing)


def _scaled(found: dict[str, Any]) -> dict[str, dict[str, Array]]:
    return {
        layer: {name: as_points(points, kept["scale"]) for name, points in kept.items() if name != "scale"}
        for layer, kept in found["layers"].items()
        if kept.get("scale")
    }


def _largest(points: dict[str, Array]) -> float:
    return max((float(np.max(found)) for found in points.values() if found.size), default=0.0)


def _panel(model: str, layer: str, points: dict[str, Array], top: float) -> Panel:
    parts = [
        f"{len(found)} points in {name}, longest life {number(float(np.max(found[:, 1] - found[:, 0])))}"
        for name, found in points.items()
        if found.size
    ]
    alt = f"Persistence diagram of {model} at {layer}: {'; '.join(parts) or 'no points'}."
    return Panel(diagram(points, top, f"{model}: {layer}", "units of the layer's mean distance"), alt)
