"""Two smoothness curves on one probe, and below them their difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from lightning_topolip.display.layer_axis import ENTRY_ROOM, axis_label, common_prefix, name_layers
from lightning_topolip.display.panels import (
    CAPTION_SIZE,
    FAINT,
    LABEL_SIZE,
    TITLE_SIZE,
    Style,
    depth_panels,
    draw_curve,
    keeps_input_apart,
    quantity,
    score_text,
)
from lightning_topolip.topology.comparison import Comparison
from lightning_topolip.topology.estimate import Array
from lightning_topolip.topology.execution_order import merged_order
from lightning_topolip.topology.tables import number, with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = (("#0072B2", "o"), ("#D55E00", "s"))
_BESIDE = (-0.3, 0.3)  # in a narrow panel
_DIFFERENCE = Style("0.2", marker="D")

Curve = dict[str, tuple[float, float]]


def comparison_figure(comparison: Comparison, names: tuple[str, str] = ("first", "second")) -> Figure:
    """Draw both curves of a comparison, and below them their difference, with bands of two standard errors.

    Networks without a common step that is scored are drawn over their relative depth, without the difference.

    Args:
        comparison: The comparison.
        names: What the legend calls the two.

    Example:
        >>> import torch
        >>> from lightning_topolip import analyze, compare
        >>> models = [torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)]) for _ in range(2)]
        >>> figure = comparison_figure(compare(*(analyze(model, torch.eye(8)) for model in models)))
        >>> len(figure.axes)
        4
    """
    pair = _pair_of(comparison)
    figure, panels, narrow = depth_panels(2 if pair.differences else 1, entry=any(pair.entries))
    _draw_both(pair, _styles(comparison, names), panels[0], narrow[:1])
    if pair.differences:
        _draw_differences(pair, panels[1], narrow[1:])
    _name_steps(pair, panels[-1], narrow[-1:])
    for labelled in (narrow, panels):  # the two have different scales
        for panel, label in zip(labelled, ("drift per sample", fill(f"{names[0]} - {names[1]}", 18)), strict=False):
            panel.set_ylabel(label, fontsize=LABEL_SIZE)
    panels[0].set_title(quantity(comparison.first), fontsize=CAPTION_SIZE, color=FAINT, loc="left")
    figure.suptitle(_title(comparison), fontsize=TITLE_SIZE)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=1, fontsize=LABEL_SIZE, frameon=False
    )
    return figure


@dataclass(frozen=True)
class _Pair:
    """Drifts with their errors by layer: two scored curves, two steps from the input, and the differences.

    Attributes:
        scored: The curves.
        entries: The steps from the input; empty for a network whose first step is scored.
        differences: Of the steps that both have; empty if both score none of them.
    """

    scored: list[Curve]
    entries: list[Curve]
    differences: Curve

    @property
    def layers(self) -> list[str]:
        """The layers of both curves in the order of execution."""
        return merged_order(self.scored)


def _pair_of(comparison: Comparison) -> _Pair:
    scored, entries = [], []
    for report in (comparison.first, comparison.second):
        steps = list(zip(report.layers[1:], report.curve.tolist(), report.curve_error.tolist(), strict=True))
        curve = {layer: (drift, error) for layer, drift, error in steps}
        entry = report.layers[1:2] if keeps_input_apart(report) else ()
        entries.append({layer: curve.pop(layer) for layer in entry})
        scored.append(curve)
    differences = {layer: (float(step.value), float(step.error)) for layer, step in comparison.steps.items()}
    if not differences.keys() & scored[0].keys() & scored[1].keys():
        differences = {}
    return _Pair(scored, entries, differences)


def _styles(comparison: Comparison, names: tuple[str, str]) -> list[Style]:
    reports = (comparison.first, comparison.second)
    return [
        Style(colour, marker=marker, label=f"{name}: {score_text(report)}")
        for (colour, marker), name, report in zip(_LOOKS, names, reports, strict=True)
    ]


def _draw_both(pair: _Pair, styles: list[Style], panel: Axes, narrow: list[Axes]) -> None:
    for curve, entry, beside, style in zip(pair.scored, pair.entries, _BESIDE, styles, strict=True):
        names = pair.layers if pair.differences else list(curve)
        places = np.arange(len(names)) if pair.differences else np.linspace(0, 1, len(names))
        draw_curve(panel, places, *_columns(curve, names), style)
        for axes in narrow:
            draw_curve(axes, [beside] * len(entry), *_columns(entry, list(entry)), style)
    for axes in (panel, *narrow):
        axes.set_ylim(bottom=0)


def _draw_differences(pair: _Pair, panel: Axes, narrow: list[Axes]) -> None:
    draw_curve(panel, np.arange(len(pair.layers)), *_columns(pair.differences, pair.layers), _DIFFERENCE)
    common = [layer for layer in pair.entries[0] if layer in pair.entries[1] and layer in pair.differences]
    for axes in narrow:
        draw_curve(axes, [0] * len(common), *_columns(pair.differences, common), _DIFFERENCE)
        axes.set_visible(bool(common))
    for axes in (panel, *narrow):
        axes.axhline(0, color="0.5", linewidth=1, zorder=1)


def _name_steps(pair: _Pair, panel: Axes, narrow: list[Axes]) -> None:
    firsts = sorted(set().union(*pair.entries))
    if not pair.differences:
        panel.set_xlabel("relative depth", fontsize=LABEL_SIZE)
        firsts = []
    prefix = common_prefix([*firsts, *pair.layers])
    if pair.differences:
        name_layers(panel, pair.layers, prefix)
        panel.set_xlabel(axis_label(prefix), fontsize=LABEL_SIZE)
    for axes in narrow:
        name_layers(axes, firsts if len(firsts) == 1 else [], prefix, ENTRY_ROOM)


def _title(comparison: Comparison) -> str:
    difference = comparison.differences["score"]
    if not math.isfinite(difference.value):
        return "Smoothness over depth"
    z = f" (z = {number(difference.z, 2)})" if math.isfinite(difference.z) else ""
    return f"TopoLip differs by {with_error(float(difference.value), float(difference.error))}{z}"


def _columns(curve: Curve, layers: list[str]) -> tuple[Array, Array]:
    """Drifts and errors of some layers, NaN for those that the curve lacks."""
    columns = np.array([curve.get(layer, (math.nan, math.nan)) for layer in layers]).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
