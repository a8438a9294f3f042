"""A report as text: numbers are whole at every width, and every column is explained."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from lightning_topolip import SmoothnessReport, analyze
from lightning_topolip.display.terminal import report_text
from lightning_topolip.topology.tables import with_error


class Nested(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.network = nn.ModuleDict({"blocks": nn.Sequential(*[nn.Linear(6, 6) for _ in range(depth)])})

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.network["blocks"](inputs)
        return output


def report_of(depth: int, **options: object) -> SmoothnessReport:
    torch.manual_seed(0)
    layers = [f"network.blocks.{index}" for index in range(depth)]
    return analyze(Nested(depth), torch.randn(24, 6), layers, **options)  # type: ignore[arg-type]


def test_every_drift_is_there_with_its_error_beside_the_name_that_layers_takes() -> None:
    report = report_of(4)
    lines = report_text(report, "title").splitlines()
    assert lines[0] == "title"
    assert re.split(r"  +", lines[1].strip()) == ["drift", "H0 drift", "H1 drift", "raw drift", "scale", "points"]
    assert [line.split()[0] for line in lines[2:7]] == list(report.layers)
    for line, drift, error in zip(lines[3:7], report.curve, report.curve_error, strict=True):
        assert with_error(drift, error) in line
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("width", [20, 50, 80, 200])
def test_columns_that_do_not_fit_are_left_out_with_their_explanation(width: int) -> None:
    report = report_of(4)
    lines = report_text(report, "title", width).splitlines()
    whole = report_text(report, "title").splitlines()
    assert all(len(line) <= max(width, 40) for line in lines[:7])
    for line, full in zip(lines[1:7], whole[1:7], strict=True):
        assert full == line or full[len(line) :].startswith("  ")
    for name in ("raw", "scale", "points"):
        assert (f"{name}: " in " ".join(lines[7 : lines.index("")])) == (name in lines[1])


@pytest.mark.parametrize(
    ("depth", "include_input", "remarks"),
    [
        (1, False, {"TopoLip": "needs 3 layers or more", "mean speed": "needs 2 layers or more"}),
        (2, False, {"TopoLip": "needs 3 layers or more", "mean speed": "mean drift of the scored steps"}),
        (1, True, {"TopoLip": "needs 2 layers or more", "mean speed": "mean drift of the scored steps"}),
        (3, False, {"TopoLip": "lower is smoother", "mean speed": "mean drift of the scored steps"}),
    ],
)
def test_too_few_layers_are_said_beside_a_dash(depth: int, include_input: bool, remarks: dict[str, str]) -> None:
    text = report_text(report_of(depth, include_input=include_input), "title")
    assert "nan" not in text
    for name, remark in remarks.items():
        (line,) = [line for line in text.splitlines() if line.startswith(name)]
        assert line.endswith(remark)
        assert (line.split()[len(name.split())] == "-") == remark.startswith("needs")
