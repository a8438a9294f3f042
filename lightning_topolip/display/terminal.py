"""A report as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from lightning_topolip.topology.names import short_names
from lightning_topolip.topology.settings import describe_order
from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.topology.tables import with_error


def report_table(report: SmoothnessReport, title: str = "") -> Table:
    """Lay out a report for `rich`, one row per layer, with the drift from the layer above it."""
    settings = report.settings
    parts = list(report.drifts[settings.view])
    table = Table(title=title or None, caption=summary(report), caption_justify="left")
    table.add_column("layer", no_wrap=True)
    table.add_column("scale", justify="right")
    for dimension in settings.dimensions:
        table.add_column(f"H{dimension} size", justify="right")
    for part in parts:
        table.add_column("drift" if part == "all" else part, justify="right")
        if part == "all":
            table.add_column("error", justify="right")
    table.add_column("raw" if settings.view == "scaled" else "scaled", justify="right")
    other = report.drifts["raw" if settings.view == "scaled" else "scaled"]["all"]
    columns = [report.curve, report.curve_error, *(report.drifts[settings.view][part] for part in parts[1:]), other]
    for index, (name, layer) in enumerate(zip(short_names(report.layers), report.topology, strict=True)):
        counts = [str(len(layer.raw[k])) if layer else "-" for k in settings.dimensions]
        cells = [f"{values[index - 1]:.3g}" if index else "" for values in columns]
        table.add_row(name, f"{layer.scale:.4g}" if layer else "-", *counts, *cells)
    return table


def summary(report: SmoothnessReport) -> str:
    """Summarize a report in a few lines of plain text."""
    settings = report.settings
    numbers = {"TopoLip": "score", "speed mean": "speed_mean", "max": "speed_max", "input drift": "input_drift"}
    estimates = report.estimates
    lines = [
        ", ".join(
            f"{name} {with_error(float(estimates[key].value), float(estimates[key].error))}"
            for name, key in numbers.items()
        ),
        f"{describe_order(settings.order)}, {settings.view} view, {report.sample}, reduction {settings.reduction}",
        f"engine {settings.engine}" + (f", {report.engine_check}" if report.engine_check else ""),
        f"noise {report.noise:.2g}, the TopoLip of an even network on this probe; TopoLip / noise {report.signal:.3g}",
    ]
    lines += [f"{layer}: {reason}" for layer, reason in report.failures.items()]
    return "\n".join(lines)
