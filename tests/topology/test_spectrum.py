"""The spectrum of a cloud against its singular values, and what it says about a collapse."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from lightning_topolip.topology.spectrum import alpha_req, participation_ratio, rankme, variance_spectrum

Array = NDArray[np.float64]
GENERATOR = np.random.default_rng(0)
CLOUDS: dict[str, Array] = {
    "cube": GENERATOR.uniform(size=(50, 5)),
    "wide": GENERATOR.normal(size=(40, 300)),
    "subspace": GENERATOR.normal(size=(40, 3)) @ GENERATOR.normal(size=(3, 60)),
    "duplicates": np.repeat(GENERATOR.uniform(size=(20, 2)), 2, axis=0),
    "far from the origin": GENERATOR.normal(size=(30, 8)) + 1e3,
    "two points": np.array([[0.0], [2.0]]),
}


def distances(points: Array) -> Array:
    return np.asarray(cdist(points, points))


def singular_values(points: Array) -> Array:
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return np.asarray(values[values > 1e-6 * values[0]])


@pytest.mark.parametrize("name", CLOUDS)
def test_the_numbers_are_those_of_the_singular_values(name: str) -> None:
    matrix, singular = distances(CLOUDS[name]), singular_values(CLOUDS[name])
    variances = np.square(singular)
    spectrum = variance_spectrum(matrix)
    np.testing.assert_allclose(spectrum, variances / variances.sum(), rtol=1e-6, atol=1e-10)
    assert rankme(spectrum) == pytest.approx(math.exp(entropy(singular)), rel=1e-6)
    assert participation_ratio(matrix) == pytest.approx(variances.sum() ** 2 / np.square(variances).sum(), rel=1e-9)


def test_a_simplex_uses_all_directions_and_a_line_one() -> None:
    simplex, line = 1.0 - np.eye(9), np.abs(np.subtract.outer(np.arange(9.0), np.arange(9.0)))
    assert [participation_ratio(simplex), rankme(variance_spectrum(simplex))] == pytest.approx([8.0, 8.0])
    assert alpha_req(variance_spectrum(simplex)) == pytest.approx(0.0, abs=1e-9)
    assert [participation_ratio(line), rankme(variance_spectrum(line))] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_power_of_a_decay_is_found_from_distances(alpha: float) -> None:
    points = GENERATOR.normal(size=(120, 80))
    axes, _ = np.linalg.qr(points - points.mean(axis=0))
    points = axes * np.arange(1.0, 81.0) ** (-alpha / 2)
    assert alpha_req(variance_spectrum(distances(points))) == pytest.approx(alpha, rel=1e-6)


def test_the_fit_weighs_every_rank_by_its_inverse() -> None:
    spectrum = np.sort(GENERATOR.uniform(size=70))[::-1]
    ranks = np.arange(4.0, 51.0)
    design = np.stack([-np.log(ranks), np.ones_like(ranks)], axis=1)
    normal = design.T @ (design / ranks[:, None])
    expected = np.linalg.solve(normal, design.T @ (np.log(spectrum[3:50]) / ranks))[0]
    assert alpha_req(spectrum) == pytest.approx(expected, rel=1e-9)


def test_a_collapse_lowers_the_rank() -> None:
    points = GENERATOR.normal(size=(100, 40))
    spectra = [variance_spectrum(distances(points * np.r_[1.0, np.full(39, share)])) for share in (1.0, 0.1, 0.001)]
    ranks = [rankme(spectrum) for spectrum in spectra]
    assert ranks == sorted(ranks, reverse=True)
    assert ranks[0] > 30
    assert ranks[-1] < 2


def test_what_is_not_defined_is_nan() -> None:
    nothing = variance_spectrum(np.zeros((6, 6)))
    assert nothing.shape == (0,)
    assert math.isnan(rankme(nothing))
    assert math.isnan(participation_ratio(np.zeros((6, 6))))
    assert math.isnan(alpha_req(variance_spectrum(distances(CLOUDS["cube"]))))
    assert not math.isnan(alpha_req(np.ones(6)))


@pytest.mark.parametrize("function", [participation_ratio, variance_spectrum])
def test_a_wrong_distance_matrix_raises(function: Callable[[Array], object]) -> None:
    with pytest.raises(ValueError, match="must be symmetric"):
        function(np.array([[0.0, 1.0], [2.0, 0.0]]))
