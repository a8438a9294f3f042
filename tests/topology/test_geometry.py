"""Geometry against closed forms, eigenvalues, brute force and scikit-dimension."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.topology.geometry import (
    covering_dimension,
    covering_numbers,
    farthest_point_traversal,
    total_variance,
    two_nn_dimension,
)
from lightning_topolip.topology.layer_geometry import LayerGeometry, undefined_numbers, with_stretch
from lightning_topolip.topology.matrices import checked_matrix, scale
from lightning_topolip.topology.spectrum import participation_ratio, rankme, variance_spectrum

Array = NDArray[np.float64]


def distances(points: Array) -> Array:
    return np.asarray(cdist(points, points))


def sphere(dimension: int, n: int, seed: int) -> Array:
    points = np.random.default_rng(seed).normal(size=(n, dimension + 1))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def cube(dimension: int, n: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(size=(n, dimension))


def flat(dimension: int, n: int, seed: int, noise: float = 0.0) -> Array:
    """A Gaussian cloud in a linear subspace of 60 dimensions."""
    generator = np.random.default_rng(seed)
    frame, _ = np.linalg.qr(generator.normal(size=(60, dimension)))
    return generator.normal(size=(n, dimension)) @ frame.T + noise * generator.normal(size=(n, 60))


CLOUDS = {
    "sphere": sphere(2, 60, seed=0),
    "cube": cube(5, 50, seed=1),
    "subspace": flat(3, 40, seed=2, noise=0.01),
    "duplicates": np.repeat(cube(2, 20, seed=3), 2, axis=0),
    "two points": np.array([[0.0], [2.0]]),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_total_variance_is_the_sum_of_the_variances_of_the_features(name: str) -> None:
    points = CLOUDS[name]
    assert total_variance(distances(points)) == pytest.approx(points.var(axis=0).sum(), rel=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [sphere, cube, flat])
def test_two_nn_estimates_the_dimension_of_shapes_to_fifteen_percent(shape, dimension: int) -> None:
    points = shape(dimension, 1500, seed=dimension)
    assert two_nn_dimension(distances(points)) == pytest.approx(dimension, rel=0.15)


def test_two_nn_ignores_noise_that_is_small_compared_with_the_distances_of_neighbours() -> None:
    quiet = two_nn_dimension(distances(flat(2, 600, seed=5, noise=1e-5)))
    loud = two_nn_dimension(distances(flat(2, 600, seed=5, noise=0.3)))
    assert quiet == pytest.approx(2, rel=0.15)
    assert loud > 8


def test_two_nn_is_the_slope_of_a_hand_computed_fit() -> None:
    """Nearest distances 1, 1, 2, 3 and second ones 3, 2, 3, 5 give the ratios 3/2, 5/3, 2, 3; the last is dropped."""
    line = distances(np.array([[0.0], [1.0], [3.0], [6.0]]))
    logarithms = np.log([3 / 2, 5 / 3, 2.0])
    heights = -np.log([3 / 4, 2 / 4, 1 / 4])
    assert two_nn_dimension(line, discard=0.25) == pytest.approx((logarithms @ heights) / (logarithms @ logarithms))


def test_two_nn_agrees_with_scikit_dimension() -> None:
    skdim = pytest.importorskip("skdim", minversion="0.5")
    for discard, name in itertools.product((0.1, 0.3), ("sphere", "cube", "subspace")):
        points = CLOUDS[name]
        expected = skdim.id.TwoNN(discard_fraction=discard).fit(points).dimension_
        assert two_nn_dimension(distances(points), discard) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "expected"), [("sphere", 2.3648672698689723), ("cube", 4.120136568128822), ("subspace", 3.656073022045128)]
)
def test_two_nn_has_the_values_of_scikit_dimension_0_5(name: str, expected: float) -> None:
    assert two_nn_dimension(distances(CLOUDS[name])) == pytest.approx(expected, rel=1e-9)


def test_two_nn_counts_coinciding_points_once() -> None:
    points = cube(2, 200, seed=8)
    doubled = np.concatenate([points, points[:150], points[:20]])
    assert two_nn_dimension(distances(doubled)) == pytest.approx(two_nn_dimension(distances(points)), rel=1e-12)


def test_two_nn_of_too_few_points_is_nan_and_of_equidistant_points_infinite() -> None:
    assert math.isnan(two_nn_dimension([[0.0, 1.0], [1.0, 0.0]]))
    assert math.isnan(two_nn_dimension(np.zeros((5, 5))))
    assert two_nn_dimension(1.0 - np.eye(10)) == math.inf


@pytest.mark.parametrize("name", CLOUDS)
def test_every_point_is_within_the_radius_of_one_of_as_many_centres_as_the_upper_bound(name: str) -> None:
    matrix = distances(CLOUDS[name])
    order, _ = farthest_point_traversal(matrix)
    radii = np.linspace(0, matrix.max(), 23)
    for radius, size in zip(radii, covering_numbers(matrix, radii, scaled=False).upper, strict=True):
        nearest = matrix[:, order[:size]].min(axis=1)
        assert nearest.max() <= radius
        assert size == 1 or matrix[:, order[: size - 1]].min(axis=1).max() > radius


@pytest.mark.parametrize("name", CLOUDS)
def test_the_packing_points_are_more_than_two_radii_apart(name: str) -> None:
    matrix = distances(CLOUDS[name])
    order, _ = farthest_point_traversal(matrix)
    radii = np.linspace(0, matrix.max(), 23)
    for radius, size in zip(radii, covering_numbers(matrix, radii, scaled=False).lower, strict=True):
        packed = matrix[np.ix_(order[:size], order[:size])]
        assert size == 1 or packed[~np.eye(size, dtype=bool)].min() > 2 * radius


def smallest_cover(matrix: Array, radius: float) -> int:
    n = len(matrix)
    return next(
        size
        for size in range(1, n + 1)
        for centres in itertools.combinations(range(n), size)
        if matrix[:, centres].min(axis=1).max() <= radius
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_smallest_cover_lies_between_the_bounds(seed: int) -> None:
    matrix = distances(cube(2, 9, seed))
    radii = np.linspace(0.02, 1.0, 12)
    covering = covering_numbers(matrix, radii, scaled=False)
    exact = [smallest_cover(matrix, radius) for radius in radii]
    assert all(low <= best <= high for low, best, high in zip(covering.lower, exact, covering.upper, strict=True))
    assert len(set(exact)) > 3


def test_covering_numbers_of_a_line_by_hand() -> None:
    line = distances(np.arange(9.0)[:, None])
    covering = covering_numbers(line, [0.0, 0.5, 1.0, 2.0, 4.0, 9.0], scaled=False)
    assert covering.upper == (9, 9, 5, 3, 1, 1)
    assert covering.lower == (9, 5, 3, 1, 1, 1)


def test_two_nn_counts_points_closer_than_the_resolution_once() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(400, 2))
    twins = np.concatenate([points, points[:60] + 1e-7 * rng.normal(size=(60, 2))])
    clean, doubled = (two_nn_dimension(cdist(cloud, cloud)) for cloud in (points, twins))
    assert clean == pytest.approx(2, rel=0.1)
    assert doubled == pytest.approx(clean, rel=0.01)


def test_points_that_coincide_need_one_ball() -> None:
    matrix = np.zeros((6, 6))
    covering = covering_numbers(matrix)
    assert set(covering.upper) == set(covering.lower) == {1}
    assert total_variance(matrix) == scale(matrix) == 0
    assert math.isnan(covering_dimension(matrix))


@pytest.mark.parametrize(("shape", "dimension", "tolerance"), [(sphere, 1, 0.1), (sphere, 2, 0.2), (cube, 1, 0.15)])
def test_covering_dimension_of_low_dimensional_shapes(shape, dimension: int, tolerance: float) -> None:
    assert covering_dimension(distances(shape(dimension, 800, seed=0))) == pytest.approx(dimension, rel=tolerance)


def test_covering_dimension_grows_with_the_dimension_and_stays_below_it() -> None:
    slopes = [covering_dimension(distances(sphere(dimension, 400, seed=1))) for dimension in (1, 2, 4, 8)]
    assert slopes == sorted(slopes)
    assert all(slope < dimension for slope, dimension in zip(slopes, (1, 2, 4, 8), strict=True))


def test_covering_dimension_of_a_cloud_too_small_is_nan() -> None:
    assert math.isnan(covering_dimension(distances(cube(2, 20, seed=0))))
    assert math.isnan(covering_dimension(1.0 - np.eye(40)))


def numbers(matrix: Array) -> list[float]:
    covering = covering_numbers(matrix)
    spectrum = variance_spectrum(matrix)
    directions = [participation_ratio(matrix), rankme(spectrum)]
    dimensions = [two_nn_dimension(matrix), covering_dimension(matrix), *directions]
    return [*dimensions, *covering.upper, *covering.lower]


@pytest.mark.parametrize("name", ["sphere", "cube", "subspace"])
def test_order_position_and_size_of_the_cloud_do_not_matter(name: str) -> None:
    points = CLOUDS[name]
    generator = np.random.default_rng(9)
    rotation, _ = np.linalg.qr(generator.normal(size=(points.shape[1],) * 2))
    expected = numbers(distances(points))
    assert numbers(distances(points[generator.permutation(len(points))])) == pytest.approx(expected, rel=1e-9)
    assert numbers(distances(points @ rotation + 3.0)) == pytest.approx(expected, rel=1e-9)
    assert numbers(1e-3 * distances(points)) == pytest.approx(expected, rel=1e-9)


def test_total_variance_grows_with_the_square_of_the_size() -> None:
    matrix = distances(CLOUDS["cube"])
    assert total_variance(3 * matrix) == pytest.approx(9 * total_variance(matrix))


def test_the_scale_is_the_mean_distance(generator: torch.Generator) -> None:
    matrix = distance_matrix(torch.randn(50, 300, generator=generator) + 10).numpy()
    assert scale(matrix) == pytest.approx(matrix[~np.eye(50, dtype=bool)].mean(), rel=1e-6)
    assert scale(np.zeros((1, 1))) == 0


def test_a_matrix_may_be_asymmetric_by_its_resolution() -> None:
    matrix = np.array([[0.0, 2.0], [2.0, 0.0]])
    matrix[0, 1] += 1e-5
    assert checked_matrix(matrix) is not None
    matrix[0, 1] += 2e-5
    with pytest.raises(ValueError, match="must be symmetric"):
        checked_matrix(matrix)


BAD = {
    "shape": (np.zeros((2, 3)), r"shape \(n, n\) with n >= 2, got \(2, 3\)"),
    "one point": (np.zeros((1, 1)), r"shape \(n, n\) with n >= 2, got \(1, 1\)"),
    "not a number": (np.array([[0.0, np.nan], [np.nan, 0.0]]), "must be >= 0 and finite"),
    "negative": (np.array([[0.0, -1.0], [-1.0, 0.0]]), "must be >= 0 and finite .* got values from -1.0 to 0.0"),
    "diagonal": (np.ones((2, 2)), "zero diagonal"),
    "not symmetric": (np.array([[0.0, 1.0], [2.0, 0.0]]), "must be symmetric, got entries that differ by up to 1.0"),
}


@pytest.mark.parametrize("function", [total_variance, two_nn_dimension, covering_numbers])
@pytest.mark.parametrize("name", BAD)
def test_a_wrong_distance_matrix_raises(function, name: str) -> None:
    matrix, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        function(matrix)


@pytest.mark.parametrize("discard", [-0.1, 1.0, float("nan")])
def test_a_wrong_share_raises(discard: float) -> None:
    with pytest.raises(ValueError, match="`discard` must be at least 0 and below 1"):
        two_nn_dimension(distances(CLOUDS["cube"]), discard)


@pytest.mark.parametrize("radii", [[-1.0], [math.nan], [[1.0]]])
def test_wrong_radii_raise(radii) -> None:
    with pytest.raises(ValueError, match="`radii` must be a sequence of finite numbers >= 0"):
        covering_numbers(distances(CLOUDS["cube"]), radii)


def test_samples_that_are_equal_in_the_input_alone_are_an_infinite_stretch_with_a_reason() -> None:
    points = np.arange(5.0)[:, None]
    before = cdist(points // 2, points // 2)
    geometry = with_stretch(LayerGeometry(), cdist(points, points), before)
    assert geometry.pairwise_lipschitz == math.inf
    (sentence,) = undefined_numbers({"decoder": geometry})
    assert sentence.startswith(
        "pairwise_lipschitz of 'decoder' is infinite: samples that are equal in the input differ"
    )
