"""Logarithmic axes: every label once, true to its tick, at every range."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from lightning_topolip.report.frame import tick_log
from lightning_topolip.report.log_ticks import log_ticks

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def value_of(label: str) -> float:
    """Read a label as a person does."""
    mantissa, _, power = label.replace("\N{MINUS SIGN}", "-").partition(" \N{MULTIPLICATION SIGN} 10")
    if power:
        return float(mantissa) * 10.0 ** int(power.translate(SUPERSCRIPTS))
    if set(label) & set("⁻⁰¹²³⁴⁵⁶⁷⁸⁹"):
        return 10.0 ** int(label.removeprefix("10").translate(SUPERSCRIPTS))
    return float(mantissa)


@settings(deadline=None)
@given(
    start=st.floats(-12.0, 12.0),
    decades=st.one_of(st.floats(1e-5, 0.1), st.floats(0.1, 3.0), st.floats(3.0, 60.0)),
)
def test_labels_differ_and_are_those_of_their_ticks(start: float, decades: float) -> None:
    low, high = 10.0**start, 10.0 ** (start + decades)
    ticks = log_ticks(low, high)
    labels = list(ticks.values())
    assert len(set(labels)) == len(labels) <= 8
    assert all(low <= tick <= high for tick in ticks)
    assert [value_of(label) for label in labels] == pytest.approx(list(ticks), rel=1e-9)


@settings(deadline=None)
@given(start=st.floats(-6.0, 6.0), decades=st.floats(0.01, 40.0))
def test_an_axis_has_at_least_two_labels_that_span_a_good_part_of_it(start: float, decades: float) -> None:
    ticks = np.log10(list(log_ticks(10.0**start, 10.0 ** (start + decades))))
    assert len(ticks) >= 2
    assert np.ptp(ticks) > 0.3 * decades


@pytest.mark.parametrize(
    ("low", "high"), [(178.0, 246.0), (190.0, 210.0), (0.0031, 0.0034), (1.0, 1.5), (9.0, 11.0), (95.0, 105.0)]
)
def test_a_drawn_axis_shows_no_label_twice(low: float, high: float) -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    tick_log(axes.yaxis)
    figure.draw_without_rendering()
    shown = [text.get_text() for text in [*axes.get_yticklabels(), *axes.get_yticklabels(minor=True)]]
    written = [text for text in shown if text]
    assert len(written) >= 2
    assert len(set(written)) == len(written)


def test_round_values_are_taken_where_there_are_enough() -> None:
    assert list(log_ticks(0.01, 1e4)) == [10.0**power for power in range(-2, 5)]
    assert list(log_ticks(1e-9, 1e30).values())[:2] == ["10⁻⁶", "10⁰"]
    assert math.isclose(max(log_ticks(2.0, 600.0)), 300.0)
