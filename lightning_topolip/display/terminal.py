"""A report as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from lightning_topolip.topology.names import short_names
from lightning_topolip.topology.settings import describe_order
from lightning_topolip.topology.smoothness_report import SmoothnessReport


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
    table.add_column("raw" if settings.view == "scaled" else "scaled", justify="right")
    other = report.drifts["raw" if settings.view == "scaled" else "scaled"]["all"]
    for index, (name, layer) in enumerate(zip(short_names(report.layers), report.topology, strict=True)):
        counts = [str(len(layer.raw[k])) if layer else "-" for k in settings.dimensions]
        drifts = [*(report.drifts[settings.view][part] for part in parts), other]
        cells = [f"{values[index - 1]:.4g}" if index else "" for values in drifts]
        table.add_row(name, f"{layer.scale:.4g}" if layer else "-", *counts, *cells)
    return table


def summary(report: SmoothnessReport) -> str:
    """Summarize a report in a few lines of plain text."""
    settings = report.settings
    lines = [
        f"TopoLip {report.score:.4g}, speed mean {report.speed_mean:.4g}, max {report.speed_max:.4g}; "
        f"input drift {report.input_drift:.4g}",
        f"{describe_order(settings.order)}, {settings.view} view, {report.sample}, reduction {settings.reduction}",
        f"engine {settings.engine}" + (f", {report.engine_check}" if report.engine_check else ""),
        f"noise of {report.noise.points} samples {report.noise.level:.4g}; drift over noise {report.noise.signal:.3g}",
    ]
    lines += [f"{layer}: {reason}" for layer, reason in report.failures.items()]
    return "\n".join(lines)
