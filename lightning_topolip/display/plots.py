"""Figures as objects: smoothness curves, the map of layers and epochs, persistence diagrams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Transform, blended_transform_factory

from lightning_topolip.topology.history import History, layer_names, step_names, table
from lightning_topolip.topology.names import INPUT, short_names
from lightning_topolip.topology.settings import describe_order
from lightning_topolip.topology.smoothness_report import SmoothnessReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EPOCH_COLOURS = "viridis"
_DIMENSION_STYLES = (
    ("H0", "#0072B2", "o"),
    ("H1", "#D55E00", "^"),
    ("H2", "#009E73", "s"),
    ("H3", "#CC79A7", "D"),
)


def smoothness_figure(history: History) -> Figure:
    """Draw the smoothness curve of every analysis over depth, and below it the noise band of the latest one.

    The upper panel shows the full probe, one line per epoch. The noise band exists for halves or subsets of the probe
    only, and drifts of different sample sizes are not comparable. So the lower panel shows the latest curve of a half
    or subset with the noise at that size.
    """
    report = _latest(history)
    figure = Figure(figsize=(9, 7))
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 2], sharex=True)
    figure.subplots_adjust(left=0.09, right=0.88, top=0.95, bottom=0.16, hspace=0.06)
    names = step_names(history)
    colours = mpl.colormaps[_EPOCH_COLOURS]
    norm = Normalize(history.epochs[0], max(*history.epochs, history.epochs[0] + 1))
    for epoch, curve in zip(history.epochs, table(history.curves, names), strict=True):
        upper.plot(curve, color=colours(norm(epoch)), marker="o", markersize=3, linewidth=1.5)
    if np.isfinite(report.errors).any():
        errors = table([dict(zip(report.layers[1:], report.errors.tolist(), strict=True))], names)[0]
        latest = table([history.curves[-1]], names)[0]
        upper.errorbar(range(len(names)), latest, errors, fmt="none", ecolor="0.3", capsize=2, linewidth=1)
    figure.colorbar(
        ScalarMappable(norm, _EPOCH_COLOURS),
        cax=figure.add_axes((0.9, 0.52, 0.02, 0.43)),
        label="epochs trained",
        ticks=MaxNLocator(integer=True),
    )
    upper.set_ylabel(f"drift, {describe_order(report.settings.order)}, {report.sample}")
    upper.set_title(f"Smoothness over depth, {_view_unit(report)}: TopoLip {report.score:.3g} now")
    if report.layers[0] == INPUT and not report.settings.include_input:
        upper.axvspan(-0.5, 0.5, color="0.92", zorder=0)
        upper.text(
            0,
            0.02,
            "from the input,\nnot in TopoLip",
            ha="center",
            va="bottom",
            fontsize=8,
            transform=_data_by_height(upper),
        )
    _draw_noise(lower, report, names)
    lower.set_xlabel("to layer")
    _name_layers(lower, names)
    for axes in (upper, lower):
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    return figure


def epoch_map_figure(history: History) -> Figure:
    """Draw the epoch drift of every layer at every analysis, of at least two, as a map."""
    report = _latest(history)
    names = layer_names(history)
    values = table(history.epoch_drifts[1:], names)
    edges = np.array(history.epochs)
    height = 0.28 * len(names) + 2.2
    figure = Figure(figsize=(9, height))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.18, right=1.02, top=1 - 0.4 / height, bottom=0.6 / height)
    mesh = axes.pcolormesh(edges, np.arange(len(names) + 1), values.T, cmap=_EPOCH_COLOURS, vmin=0)
    axes.set_yticks(np.arange(len(names)) + 0.5, short_names(names), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("epochs trained")
    axes.set_ylabel("layer, input side on top")
    axes.set_title("Epoch drift: how far the topology of each layer moved per epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(mesh, ax=axes, label=f"drift per epoch, {describe_order(report.settings.order)}")
    return figure


def diagrams_figure(report: SmoothnessReport, layers: Sequence[str] | None = None) -> Figure:
    """Draw the persistence diagrams of some layers (by default first, middle and last) in the headline's view.

    Raises:
        ValueError: If a layer was not analysed.
    """
    names = list(layers) if layers else _first_middle_last(list(report.layers))
    if not names or not set(names) <= set(report.layers):
        raise ValueError(f"Argument `layers` must name analysed layers of {list(report.layers)}, got {layers!r}.")
    figure = Figure(figsize=(3.4 * len(names) + 0.4, 4.1))
    figure.suptitle(f"Persistence diagrams, {_view_unit(report)}", fontsize=10)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_diagram(axes, report, name)
    figure.subplots_adjust(left=0.2 / len(names), right=0.98, top=0.85, bottom=0.12, wspace=0.3)
    return figure


def _data_by_height(axes: Axes) -> Transform:
    """Data coordinates along x, the height of the panel along y."""
    return blended_transform_factory(axes.transData, axes.transAxes)


def _draw_noise(axes: Axes, report: SmoothnessReport, names: list[str]) -> None:
    band = report.noise
    if not band.noise.size:
        axes.set_title("no noise band: the probe is too small or noise_splits=0", fontsize=9)
        return
    places = [names.index(name) for name in report.layers if name != INPUT and name in names]
    noise = band.noise[:, -len(places) :]
    axes.fill_between(places, noise.min(axis=0), noise.max(axis=0), color="0.75", label="noise, all splits")
    axes.plot(places, np.median(noise, axis=0), color="0.35", linestyle="--", label="noise, median")
    steps = places[len(places) - band.drifts.shape[1] :]
    middle = np.median(band.drifts, axis=0)
    spread = np.abs(np.stack([band.drifts.min(axis=0), band.drifts.max(axis=0)]) - middle)
    axes.errorbar(steps, middle, spread, color="#D55E00", marker="o", markersize=4, capsize=2, label="drift, latest")
    axes.set_ylabel(f"drift, {band.points} samples")
    room_for_the_legend = 1.3 * max(np.nanmax(noise, initial=0.0), np.nanmax(band.drifts, initial=0.0))
    axes.set_ylim(top=room_for_the_legend or 1.0)
    axes.legend(fontsize=8, ncols=3, loc="upper right")


def _draw_diagram(axes: Axes, report: SmoothnessReport, name: str) -> None:
    layer = report.topology[report.layers.index(name)]
    if layer is None or (report.settings.view == "scaled" and layer.degenerate):
        axes.set_title(f"{name}: no {report.settings.view} diagram", fontsize=9)
        return
    diagrams = layer.view(report.settings.view)
    for dimension, points in diagrams.items():
        label, colour, marker = _DIMENSION_STYLES[dimension]
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=12,
            color=colour,
            marker=marker,
            alpha=0.6,
            label=f"{label}, {len(points)} points",
        )
    limit = max((points.max() for points in diagrams.values() if points.size), default=1.0) * 1.05
    axes.plot([0, limit], [0, limit], color="0.4", linewidth=1)
    axes.set(xlabel="birth", ylabel="death", xlim=(-0.03 * limit, limit), ylim=(0, limit), aspect="equal")
    axes.set_title(name, fontsize=10)
    axes.legend(fontsize=8, loc="lower right")


def _latest(history: History) -> SmoothnessReport:
    if history.last is None:
        raise ValueError("Argument `history` must hold at least one analysis, got none; run one first.")
    return history.last


def _view_unit(report: SmoothnessReport) -> str:
    return "in units of the layer's mean distance" if report.settings.view == "scaled" else "in activation units"


def _name_layers(axes: Axes, names: list[str]) -> None:
    every = max(1, len(names) // 24)
    axes.set_xticks(range(0, len(names), every), short_names(names)[::every], rotation=60, ha="right", fontsize=8)


def _first_middle_last(names: list[str]) -> list[str]:
    layers = [name for name in names if name != INPUT]
    return list(dict.fromkeys([layers[0], layers[len(layers) // 2], layers[-1]])) if layers else names
