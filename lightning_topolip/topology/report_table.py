"""A smoothness report as a table of a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_topolip.topology.names import INPUT, short_names
from lightning_topolip.topology.settings import describe_order
from lightning_topolip.topology.tables import Table, number

if TYPE_CHECKING:
    from lightning_topolip.topology.smoothness_report import SmoothnessReport


def report_table(report: SmoothnessReport) -> Table:
    """Tabulate the numbers of a report with their standard errors, whatever the number of layers."""
    remarks = {
        "TopoLip": ("score", _remark(report, 2, "lower is smoother")),
        "mean speed": ("speed_mean", _remark(report, 1, "mean drift of the scored steps")),
        "largest speed": ("speed_max", _largest(report)),
        "input drift": ("input_drift", "scored" if report.settings.include_input else "not scored"),
    }
    estimates = report.estimates
    rows = [
        (name, number(float(estimates[key].value)), number(float(estimates[key].error), 2), remark)
        for name, (key, remark) in remarks.items()
    ]
    rows += [
        ("noise", number(report.noise), "", "TopoLip that an even network would show"),
        ("signal", number(report.signal), "", "TopoLip / noise; near 1 is sampling alone"),
        ("layers", str(len(report.layers) - (INPUT in report.layers)), "", _failures(report)),
    ]
    title = f"Smoothness on {report.sample}, {report.settings.view} {describe_order(report.settings.order)} per sample"
    return Table(title, ("", "value", "error", ""), tuple(rows))


def _remark(report: SmoothnessReport, steps: int, remark: str) -> str:
    """The remark on a number that takes so many scored steps, or what is missing for it."""
    scores_input = report.settings.include_input and INPUT in report.layers
    return remark if len(report.scored_drifts()) >= steps else f"needs {steps + 1 - scores_input} layers or more"


def _largest(report: SmoothnessReport) -> str:
    """The step with the largest scored drift."""
    scored = report.scored_drifts()
    if not np.isfinite(scored).all() or not scored.size:
        return ""
    names = short_names(report.layers)[-len(scored) :]
    return f"drift of the step to {names[int(np.nanargmax(scored))]}"


def _failures(report: SmoothnessReport) -> str:
    if not report.failures:
        return "all measured"
    first, *others = report.failures
    return f"without {first}{f' and {len(others)} more' if others else ''}, see `failures`"
