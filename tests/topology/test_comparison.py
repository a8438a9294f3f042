"""Two reports on one probe: differences, their paired errors, and what does not compare."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lightning_topolip import SmoothnessReport, analyze, compare, distance_matrix
from lightning_topolip.topology.cuts import halvings
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report

PROBE = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))


def network(seed: int, layers: int = 5) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(*[nn.Linear(6, 6) for _ in range(layers)])


def matrices(seed: int) -> dict[str, np.ndarray[Any, Any]]:
    generator = torch.Generator().manual_seed(seed)
    return {name: distance_matrix(torch.randn(24, 4, generator=generator)).numpy() for name in "abcd"}


def report_of(layers: dict[str, np.ndarray[Any, Any]], samples: Any = slice(None)) -> SmoothnessReport:
    chosen = {name: matrix[samples][:, samples] for name, matrix in layers.items()}
    return smoothness_report(Measurement(chosen), Settings(halvings=4 if isinstance(samples, slice) else 0))


def test_errors_of_differences_pair_the_halves() -> None:
    """The differences on every half alone, by reports of the halves, give the errors of the whole."""
    layers = matrices(1), matrices(2)
    comparison = compare(*map(report_of, layers))
    for name in ("score", "speed_mean", "speed_max"):
        assert comparison.differences[name].value == pytest.approx(
            getattr(comparison.first, name) - getattr(comparison.second, name)
        )
        moved = []
        for cut in halvings(24, Settings()):
            first, second = (report_of(layers[0], half) for half in cut), (report_of(layers[1], half) for half in cut)
            one, other = (getattr(a, name) - getattr(b, name) for a, b in zip(first, second, strict=True))
            moved.append(one - other)
        assert comparison.differences[name].error == pytest.approx(math.sqrt(np.mean(np.square(moved))) / 2)
    assert list(comparison.steps) == ["b", "c", "d"]
    assert comparison.steps["c"].value == pytest.approx(comparison.first.curve[1] - comparison.second.curve[1])


def test_a_network_does_not_differ_from_itself() -> None:
    report = analyze(network(1), PROBE)
    comparison = compare(report, analyze(network(1), PROBE))
    for difference in (*comparison.differences.values(), *comparison.steps.values()):
        assert difference.value == difference.error == 0
        assert math.isnan(difference.z)
    assert "not known" not in str(comparison)


def test_networks_without_common_steps_compare_by_score_and_speed() -> None:
    narrow = nn.Sequential(*[nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)) for _ in range(4)])
    first, second = analyze(network(1), PROBE, ["1", "2", "3"]), analyze(narrow, PROBE, ["0.0", "1.0", "2.0"])
    comparison = compare(first, second)
    assert comparison.steps == {}
    assert str(comparison).count("\n") == 4
    assert len(comparison.plot().axes) > 0


def test_reports_that_do_not_know_their_samples_compare_with_a_caveat() -> None:
    comparison = compare(report_of(matrices(1)), report_of(matrices(2)))
    assert "whether both saw the same samples is not known" in str(comparison)
    assert "<table>" in comparison._repr_html_()


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (lambda: analyze(network(2), PROBE.flip(0)), "the samples differ; analyse both on the same ones"),
        (lambda: analyze(network(2), PROBE[:20]), "the probes had 24 and 20 samples"),
        (lambda: analyze(network(2), PROBE, order=1), r"the settings were order=2\.0 and order=1\.0\."),
    ],
)
def test_what_does_not_compare_raises_with_the_reason(second: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"`first` and `second` must be reports on one probe, but {reason}"):
        compare(analyze(network(1), PROBE), second())


def test_the_engine_and_the_geometry_do_not_matter() -> None:
    first, second = analyze(network(1), PROBE, engine="redzed"), analyze(network(1), PROBE, geometry=True)
    assert compare(first, second).differences["score"].value == 0
