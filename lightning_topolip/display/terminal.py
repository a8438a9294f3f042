"""A report as text for the terminal: a table of its layers, then its numbers."""

from __future__ import annotations

import math
from textwrap import wrap

from lightning_topolip.topology.settings import VIEWS
from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.topology.tables import Table, number, with_error

_LONGEST = 100
_LEGEND = {
    "drift": "drift: from the layer above, with its standard error",
    "H0 drift": "H0: of clusters",
    "H1 drift": "H1: of loops",
    "H2 drift": "H2: of voids",
    "raw drift": "raw: of distances not divided by their mean",
    "scaled drift": "scaled: of distances divided by their mean",
    "scale": "scale: mean distance of two samples",
    "points": "points: in each diagram",
}


def report_text(report: SmoothnessReport, title: str, width: float = math.inf) -> str:
    """Write a report for people.

    Args:
        report: The report.
        title: The line above it.
        width: Number of characters of a line. Columns that do not fit are left out, the last first; numbers are whole.
    """
    layers = layer_table(report, title).within(width)
    legend = "; ".join(meaning for name, meaning in _LEGEND.items() if name in layers.header)
    lines = [str(layers), *wrap(legend, int(min(width, _LONGEST))), "", str(report.table)]
    settings = report.settings
    engine = f"engine {settings.engine}" + (f", {report.engine_check}" if report.engine_check else "")
    failures = [f"{layer}: {reason}" for layer, reason in report.failures.items()]
    return "\n".join([*lines, f"reduction {settings.reduction}, {engine}", *failures])


def layer_table(report: SmoothnessReport, title: str) -> Table:
    """Tabulate a report, one row per layer, with the drift from the layer above it; the last columns matter least."""
    settings = report.settings
    (other,) = set(VIEWS) - {settings.view}
    drifts = {f"{part} drift": values for part, values in report.drifts[settings.view].items() if part != "all"}
    drifts[f"{other} drift"] = report.drifts[other]["all"]
    columns = {
        "": report.layers,
        "drift": ("", *map(with_error, report.curve.tolist(), report.curve_error.tolist())),
        **{name: ("", *map(number, values.tolist())) for name, values in drifts.items()},
        "scale": tuple(number(layer.scale) if layer else "-" for layer in report.topology),
        "points": tuple(
            ", ".join(str(len(layer.raw[k])) for k in settings.dimensions) if layer else "-"
            for layer in report.topology
        ),
    }
    return Table(title, tuple(columns), tuple(zip(*columns.values(), strict=True)))
