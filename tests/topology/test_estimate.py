"""Standard errors from the parts of a probe, against closed forms and numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_topolip.topology.estimate import Estimate, deviations, mean_estimate, without_error
from lightning_topolip.topology.scores import topolip


def estimate(value: object, parts: object) -> Estimate:
    return Estimate(np.array(value, dtype=np.float64), np.array(parts, dtype=np.float64))


def test_the_error_of_halves_by_hand() -> None:
    """The root of the mean of (A - B)^2 over the cuts is sqrt((3^2 + 1^2) / 2); the error is half of it."""
    assert estimate(5.0, [[4.0, 7.0], [5.0, 6.0]]).error == pytest.approx(math.sqrt(5) / 2)


def test_the_error_of_subsets_is_their_deviation_over_the_root_of_their_number() -> None:
    subsets = np.random.default_rng(0).normal(size=(1, 7, 3))
    error = Estimate(subsets.mean(axis=(0, 1)), subsets).error
    assert error == pytest.approx(subsets[0].std(axis=0, ddof=1) / math.sqrt(7))


def test_the_error_of_a_mean_is_that_of_statistics() -> None:
    """Halves of n independent numbers of variance 1 give the mean's error, 1 / sqrt(n), to 3 % over 2,000 cuts."""
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(2000, 2, 50))
    assert estimate(0.0, numbers.mean(axis=2)).error == pytest.approx(1 / math.sqrt(100), rel=0.03)


def test_differences_are_paired() -> None:
    """What all samples share cancels: the same number twice differs by 0 without error, and an offset changes none."""
    one = estimate([2.0, 3.0], [[[1.0, 5.0], [3.0, 2.0]], [[2.0, 2.5], [2.5, 4.0]]])
    assert (one - one).error.tolist() == [0.0, 0.0]
    shifted = Estimate(one.value + 1, one.parts + 1)
    assert (shifted - one).error == pytest.approx([0.0, 0.0], abs=1e-15)
    assert (shifted + one).error == pytest.approx(2 * one.error)


def test_differences_of_independent_numbers_add_their_variances() -> None:
    generator = np.random.default_rng(1)
    first, second = (estimate(0.0, scale * generator.normal(size=(20_000, 2))) for scale in (3.0, 4.0))
    assert (first - second).error == pytest.approx(math.hypot(first.error, second.error), rel=0.02)


def test_z_is_the_value_over_its_error_with_its_sign() -> None:
    assert estimate(-1.5, [[1.0, 2.0]]).z == -3.0
    assert estimate(1.0, [[2.0, 2.0]]).z == math.inf
    assert math.isnan(estimate(0.0, [[2.0, 2.0]]).z)


def test_a_statistic_is_computed_on_every_part_and_units_scale() -> None:
    curve = estimate([1.0, 3.0, 2.0], [[[1.0, 2.0, 4.0], [1.0, 5.0, 5.0]]])
    score = curve.apply(topolip)
    assert (float(score.value), score.parts.tolist()) == (1.5, [[1.5, 2.0]])
    assert score.error == pytest.approx(0.25)
    assert score.scaled_by(2.0).error == pytest.approx(0.5)
    assert (float(curve.at(1).value), curve.at(1).parts.tolist()) == (3.0, [[2.0, 5.0]])


def test_a_mean_of_estimates_keeps_their_pairing() -> None:
    """Two numbers whose halves err in opposite directions have a mean without error."""
    mean = mean_estimate([estimate(1.0, [[0.0, 2.0]]), estimate(3.0, [[4.0, 2.0]])])
    assert (float(mean.value), float(mean.error)) == (2.0, 0.0)


def test_deviations_are_half_the_difference_of_halves() -> None:
    halves = np.array([[[1.0, 4.0, 2.0], [3.0, 1.0, 2.0]]])
    assert deviations(halves).tolist() == [[[-1.0, 1.5, 0.0], [1.0, -1.5, 0.0]]]
    assert topolip(deviations(halves)).tolist() == [[2.0, 2.0]]


def test_deviations_of_subsets_have_the_variance_of_the_mean() -> None:
    subsets = np.random.default_rng(2).normal(size=(1, 16, 4))
    assert deviations(subsets).var(axis=1) == pytest.approx(subsets.var(axis=1) / 15)


@pytest.mark.parametrize("parts", [np.empty((0, 2)), np.ones((1, 1))])
def test_without_parts_there_is_no_error(parts: np.ndarray) -> None:
    assert math.isnan(Estimate(np.array(1.0), parts).error)


def test_a_value_of_the_whole_probe_has_no_error() -> None:
    assert np.isnan(without_error(np.array([1.0, 2.0])).error).tolist() == [True, True]
