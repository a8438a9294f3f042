"""A report printed, shown in a notebook, drawn, and written and read as plain values."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from lightning_topolip import SmoothnessReport, analyze, compare


def report_of(layers: int = 5, n: int = 24, **settings: float) -> SmoothnessReport:
    torch.manual_seed(0)
    network = nn.Sequential(*[nn.Linear(6, 6) for _ in range(layers)])
    return analyze(network, torch.randn(n, 6), **settings)


def test_a_report_prints_in_ten_lines_whatever_its_layers() -> None:
    report = report_of(layers=40)
    lines = str(report).splitlines()
    assert repr(report) == str(report)
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 100
    name, value, error, *_ = lines[2].split()
    assert (name, float(value), float(error)) == (
        "TopoLip",
        pytest.approx(report.score, rel=1e-2),
        pytest.approx(report.score_error, rel=5e-2),
    )
    assert lines[-1].split()[1] == "39"


def test_a_notebook_shows_the_same_cells() -> None:
    report = report_of()
    page = report._repr_html_()
    assert page.count("<tr>") == len(report.table.rows) + 1
    assert f"<td>{report.table.rows[0][1]}</td>" in page


def test_a_failed_layer_is_named_and_the_numbers_are_dashes() -> None:
    class Faulty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.nan, self.last = nn.Identity(), nn.Identity(), nn.Identity()

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.last(self.nan(self.first(inputs) / 0))

    lines = str(analyze(Faulty(), torch.randn(12, 4), ["first", "nan", "last"])).splitlines()
    assert lines[2].split()[:3] == ["TopoLip", "-", "-"]
    assert "without nan" in lines[-1]


def test_a_report_draws_its_curve() -> None:
    report = report_of()
    curve = report.plot().axes[-1].lines[0]
    assert np.asarray(curve.get_ydata()).tolist() == report.scored_drifts().tolist()


@pytest.mark.parametrize("settings", [{}, {"order": math.inf}, {"subset_size": 8}, {"halvings": 0}, {"view": "raw"}])
def test_a_report_survives_json(settings: dict[str, float]) -> None:
    report = report_of(**settings)
    again = SmoothnessReport.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again.settings == report.settings
    assert again.probe == report.probe != ""
    assert str(again) == str(report)
    np.testing.assert_equal(again.to_dict(), report.to_dict())
    assert compare(again, report).differences["score"].value == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"definitions": 1}, "must be a report with definitions 2, whose drifts are per sample, got something else"),
        ({"definitions": None, "noise_splits": 4}, "one without errors, of an older version; analyse the network"),
        ({"layers": None}, "must be a whole report"),
    ],
)
def test_other_values_are_refused_in_a_sentence(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmoothnessReport.from_dict({**report_of().to_dict(), **change})
