"""The smoothness curves of a run in one panel, the latest one strong, and the map of all analyses below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_topolip.display.layer_axis import ENTRY_ROOM, axis_label, common_prefix, name_layers
from lightning_topolip.display.layer_map import draw_map
from lightning_topolip.display.panels import (
    CAPTION_SIZE,
    FAINT,
    LABEL_SIZE,
    TICK_SIZE,
    TITLE_SIZE,
    Style,
    after_epochs,
    depth_panels,
    draw_curve,
    keeps_input_apart,
    quantity,
    score_text,
)
from lightning_topolip.topology.estimate import Array
from lightning_topolip.topology.execution_order import merged_order
from lightning_topolip.topology.history import History, table
from lightning_topolip.topology.smoothness_report import SmoothnessReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CURVES = 12
FEWEST_FOR_A_MAP = 3
_COLOURS = LinearSegmentedColormap.from_list("epochs", ["#90aed2", "#5480b8"])
_LATEST = "#2d0540"


def smoothness_figure(history: History, *, top: float | None = None) -> Figure:
    """Draw the smoothness curves of a run over depth, the latest one strong in a band of two standard errors.

    Of more than a dozen analyses, a dozen are drawn: the first, the latest, and others evenly between. The step from
    the input stands beside them on its own scale unless it is scored. From three analyses on, a map below the curves,
    over the same layers, shows the drifts of all of them.

    Args:
        history: At least one analysis.
        top: Upper limit of the drifts, such as the largest `highest_drift` of several runs to share a scale.

    Raises:
        ValueError: If there is no analysis.

    Example:
        >>> import torch
        >>> from lightning_topolip import analyze
        >>> history = History()
        >>> model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)])
        >>> drifts = history.add(0.0, analyze(model, torch.rand(32, 8)))
        >>> entry, scored = smoothness_figure(history, top=0.5).axes
        >>> tuple(map(float, scored.get_ylim())), scored.get_xlabel()
        ((0.0, 0.5), 'to layer')
    """
    report = latest_report(history)
    return _figure(history, report, top, after_epochs(history.epochs[-1]))


def report_figure(report: SmoothnessReport) -> Figure:
    """Draw the smoothness curve of one report, see `smoothness_figure`."""
    history = History()
    history.add(0.0, report)
    return _figure(history, report, None, "")


def highest_drift(history: History) -> float:
    """The highest drift, or end of the band, that `smoothness_figure` draws of a run, the input's step apart."""
    curves = _drawn_curves(history, latest_report(history))
    ends = np.concatenate([curves.drifts, curves.drifts[-1:] + 2 * np.nan_to_num(curves.errors[-1:])])
    return float(np.nanmax(ends)) if np.isfinite(ends).any() else math.nan


def latest_report(history: History) -> SmoothnessReport:
    """The latest report of a run.

    Raises:
        ValueError: If there is none.
    """
    if history.last is None:
        raise ValueError("Argument `history` must hold at least one analysis, got none; run one first.")
    return history.last


@dataclass(frozen=True)
class _Curves:
    """The curves that are drawn, one row per analysis, the latest one last.

    Attributes:
        epochs: Epochs trained.
        names: The layers at which the steps end.
        drifts: Shape ``(analyses, layers)``, NaN where an analysis lacks a layer.
        errors: Their standard errors.
        entry: Drift and standard error of the step from the input, shape ``(analyses, 2)``; no row if it is scored.
        first: The layers at which the steps from the input end.
    """

    epochs: list[float]
    names: list[str]
    drifts: Array
    errors: Array
    entry: Array
    first: list[str]


def _drawn_curves(history: History, report: SmoothnessReport) -> _Curves:
    drawn = _evenly_spread(len(history.epochs))
    curves, errors = ([dict(rows[index]) for index in drawn] for rows in (history.curves, history.curve_errors))
    first = [next(iter(curve)) for curve in curves] if keeps_input_apart(report) else []
    entry = [(curve.pop(name), error.pop(name)) for name, curve, error in zip(first, curves, errors, strict=False)]
    names = merged_order(curves)
    return _Curves(
        epochs=[history.epochs[index] for index in drawn],
        names=names,
        drifts=table(curves, names),
        errors=table(errors, names),
        entry=np.array(entry).reshape(-1, 2),
        first=first,
    )


def _figure(history: History, report: SmoothnessReport, top: float | None, when: str) -> Figure:
    curves = _drawn_curves(history, report)
    has_map = len(history.epochs) >= FEWEST_FOR_A_MAP and bool(curves.names)
    figure, (axes, *below), narrow = depth_panels(1 + has_map, entry=bool(curves.first))
    for style, drifts, errors in zip(_styles(curves.epochs), curves.drifts, curves.errors, strict=True):
        draw_curve(axes, np.arange(len(curves.names)), drifts, errors, style)
    axes.set_ylim(0, top)
    for panel in narrow[:1]:
        _draw_entry(panel, curves)
    for panel in below:
        _draw_map(panel, history, curves.names)
    for panel in narrow[1:]:  # the first one takes its place
        grid = panel.get_gridspec()
        if grid is not None:
            narrow[0].set_subplotspec(grid[:, 0])
        panel.remove()
    _name_steps(curves, [*below, axes][0], narrow[:1])
    for panel in (*narrow[:1], axes):  # the two have different scales
        panel.set_ylabel("drift per sample", fontsize=LABEL_SIZE)
    if len(curves.epochs) > 1:
        _add_epochs(figure, axes, curves.epochs)
    axes.set_title(quantity(report), fontsize=CAPTION_SIZE, color=FAINT, loc="left")
    figure.suptitle(_title(report, when), fontsize=TITLE_SIZE)
    return figure


def _name_steps(curves: _Curves, lowest: Axes, narrow: list[Axes]) -> None:
    """Name the layers below the lowest panel, and the input's step below its own."""
    prefix = common_prefix([*curves.first, *curves.names])
    name_layers(lowest, curves.names, prefix)
    lowest.set_xlabel(axis_label(prefix), fontsize=LABEL_SIZE)
    for panel in narrow:
        panel.tick_params(labelbottom=True)
        name_layers(panel, curves.first[:1] if len(set(curves.first)) == 1 else [], prefix, ENTRY_ROOM)


def _draw_map(panel: Axes, history: History, names: list[str]) -> None:
    """Draw the drifts of all analyses; of two at the same position, the later one."""
    rows = dict(zip(history.epochs, history.curves, strict=True))
    centres = np.array(list(rows))
    between = (centres[1:] + centres[:-1]) / 2
    edges = [2 * centres[0] - between[0], *between, 2 * centres[-1] - between[-1]] if between.size else [-0.5, 0.5]
    draw_map(panel, edges, table(list(rows.values()), names), "drift per sample")


def _draw_entry(panel: Axes, curves: _Curves) -> None:
    """Draw the steps from the input beside each other, from the first analysis to the latest."""
    places = np.linspace(-0.6, 0.6, len(curves.epochs)) if len(curves.epochs) > 1 else np.zeros(1)
    for place, style, (drift, error) in zip(places, _styles(curves.epochs), curves.entry, strict=True):
        draw_curve(panel, np.array([place]), np.array([drift]), np.array([error]), style)
    panel.set_ylim(bottom=0)


def _styles(epochs: list[float]) -> list[Style]:
    norm = _norm(epochs)
    return [*(Style(_COLOURS(float(norm(epoch))), strong=False) for epoch in epochs[:-1]), Style(_LATEST)]


def _norm(epochs: list[float]) -> Normalize:
    return Normalize(epochs[0], epochs[-1] if epochs[-1] > epochs[0] else epochs[0] + 1)


def _add_epochs(figure: Figure, axes: Axes, epochs: list[float]) -> None:
    bar = figure.colorbar(ScalarMappable(_norm(epochs), _COLOURS), ax=axes, pad=0.015, aspect=22)
    bar.set_ticks(MaxNLocator(5, steps=[1, 2, 5, 10]))
    bar.set_label("epochs trained", fontsize=LABEL_SIZE)
    bar.ax.tick_params(labelsize=TICK_SIZE)
    bar.ax.axhline(epochs[-1], color=_LATEST, linewidth=5)


def _title(report: SmoothnessReport, when: str) -> str:
    score = score_text(report) if math.isfinite(report.score) else "Smoothness over depth"
    signal = f"signal {report.signal:.2g}" if math.isfinite(report.signal) else ""
    return ", ".join(filter(None, [score, signal, when]))


def _evenly_spread(analyses: int) -> list[int]:
    """Indices of at most a dozen analyses, the first and the last among them."""
    return sorted({round(index) for index in np.linspace(0, analyses - 1, min(analyses, MOST_CURVES))})
