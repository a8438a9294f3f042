"""The transport distance between clouds: against permutations, POT and the stability of Rips diagrams."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_topolip.wasserstein import activation_drift, transport, wasserstein_distance
from lightning_topolip.wasserstein.cloud import cross_distance_matrix
from lightning_topolip.wasserstein.transport import matching_drift, transport_drift

ORDERS = (1.0, 2.0, 3.5, 30.0, math.inf)


def clouds(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, d)), generator.normal(size=(n, d)) * 1.5 + 0.3


def norm_mean(lengths: np.ndarray, order: float) -> float:
    return float(
        lengths.max()
        if order == math.inf
        else lengths.max() * ((lengths / lengths.max()) ** order).mean() ** (1 / order)
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_equals_the_best_permutation(order: float, n: int) -> None:
    first, second = clouds(n, n, 3)
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    expected = min(
        norm_mean(distances[range(n), list(order_of)], order) for order_of in itertools.permutations(range(n))
    )
    assert expected > 0.1
    assert activation_drift(first, second, order) == pytest.approx(expected, rel=1e-9)
    assert activation_drift(order=order, cross_distances=distances) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([1.0, 1.5, 2.0, 3.0]), st.booleans())
def test_the_assignment_equals_pot(seed: int, n: int, order: float, ties: bool) -> None:
    distances = np.random.default_rng(seed).random((n, n)) + 0.1
    if ties:
        distances = np.ceil(distances * 4)
    assert matching_drift(distances, order) == pytest.approx(transport_drift(distances, order), rel=1e-9)


@pytest.mark.parametrize("order", [1.0, 2.0])
def test_different_sizes_equal_copies_of_the_points(order: float) -> None:
    first, second = clouds(0, 6, 3)
    second = second[:4]
    expected = activation_drift(np.repeat(first, 2, axis=0), np.repeat(second, 3, axis=0), order)
    assert expected > 0.1
    assert activation_drift(first, second, order) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1e-12, 1e-6, 1.0, 1e5])
def test_a_translation_costs_its_length(order: float, size: float) -> None:
    first, _ = clouds(3, 40, 20)
    step = np.zeros(20)
    step[4] = size
    moved = first + step
    apart = (moved - first)[:, 4]
    expected = norm_mean(apart, order) if size < 1e-3 else size
    value = activation_drift(first, moved[::-1], order)
    assert value == pytest.approx(expected, rel=1e-9, abs=0)
    assert activation_drift(moved[::-1], first, order) == pytest.approx(value, rel=1e-12, abs=0)


def test_zero_for_equal_clouds_in_any_order() -> None:
    first, _ = clouds(4, 30, 5000)
    first += 1e4
    for order in ORDERS:
        assert activation_drift(first, first[::-1], order) == 0.0


def test_cross_distances_keep_their_digits() -> None:
    generator = np.random.default_rng(0)
    first = 1e3 + generator.normal(size=(20, 6000))
    second = np.concatenate(
        (
            first[:10] + 1e-7 * generator.normal(size=(10, 6000)),
            first[10:12],
            generator.normal(size=(8, 6000)),
        )
    )
    expected = np.sqrt(((first[:, None] - second[None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(cross_distance_matrix(first, second), expected, rtol=1e-9, atol=0)
    assert (np.diag(expected)[10:12] == 0).all()
    for factor in (1e-200, 1e200):
        scaled = cross_distance_matrix(factor * first, factor * second)
        np.testing.assert_allclose(scaled, factor * expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("noise", [0.05, 0.5, 3.0])
def test_stability_of_rips_diagrams(noise: float) -> None:
    rips = pytest.importorskip("gudhi").RipsComplex
    generator = np.random.default_rng(1)
    first = generator.normal(size=(40, 4))
    second = generator.permutation(first + noise * generator.normal(size=first.shape))
    drift = activation_drift(first, second, math.inf)
    diagrams = []
    for cloud in (first, second):
        tree = rips(points=cloud).create_simplex_tree(max_dimension=2)
        tree.compute_persistence()
        diagrams.append([tree.persistence_intervals_in_dimension(dimension) for dimension in (0, 1)])
    for dimension in (0, 1):
        pair = [points[dimension][np.isfinite(points[dimension][:, 1])] for points in diagrams]
        assert 0 < wasserstein_distance(*pair, math.inf) <= 2 * drift * (1 + 1e-12)


def test_increases_with_the_order() -> None:
    first, second = clouds(2, 30, 3)
    values = [activation_drift(first, second, order) for order in (1, 1.5, 2, 5, 40, 1e6, 1e13, math.inf)]
    assert all(low <= high * (1 + 1e-9) for low, high in itertools.pairwise(values))
    assert values[0] < 0.9 * values[-1]


def test_takes_lists_and_does_not_change_its_inputs() -> None:
    first, second = (cloud.astype(np.float32) for cloud in clouds(0, 8, 3))
    before = first.tobytes(), second.tobytes()
    value = activation_drift(first, second)
    assert (first.tobytes(), second.tobytes()) == before
    assert activation_drift(first.tolist(), second.tolist()) == value > 0


def test_error_messages_name_the_argument() -> None:
    cloud = np.zeros((3, 2))
    broken = cloud.copy()
    broken[1, 0] = math.nan
    with pytest.raises(ValueError, match=r"`first` and `second`, or `cross_distances` alone, got none of them"):
        activation_drift()
    with pytest.raises(ValueError, match=r"got `first`; pass the two"):
        activation_drift(cloud)
    with pytest.raises(ValueError, match=r"got `first`, `second`, `cross_distances`"):
        activation_drift(cloud, cloud, cross_distances=cloud)
    with pytest.raises(ValueError, match=r"got `first`, `cross_distances`"):
        activation_drift(cloud, cross_distances=cloud)
    with pytest.raises(ValueError, match=r"`second` must be an \(n, d\) array with n >= 1, got shape \(3,\)"):
        activation_drift(cloud, cloud[:, 0])
    with pytest.raises(ValueError, match=r"same width d, got shapes \(3, 2\) and \(3, 1\)"):
        activation_drift(cloud, cloud[:, :1])
    with pytest.raises(ValueError, match=r"`first` must be finite, got nan at index \(1, 0\)"):
        activation_drift(broken, cloud)
    with pytest.raises(ValueError, match=r"`cross_distances` must be finite, got nan at index \(1, 0\)"):
        activation_drift(cross_distances=broken)
    with pytest.raises(ValueError, match=r"`cross_distances` must be >= 0, got -1.0"):
        activation_drift(cross_distances=cloud - 1)
    with pytest.raises(ValueError, match=r"`cross_distances` must be an \(n, m\) array .* got shape \(2,\)"):
        activation_drift(cross_distances=cloud[0])
    with pytest.raises(ValueError, match=r"`order` must be a number in \[1, inf\], got 0.5"):
        activation_drift(cloud, cloud, 0.5)
    with pytest.raises(ValueError, match=r"`order` must be finite for clouds of different sizes, got inf for 3 and 2"):
        activation_drift(cloud, cloud[:2], math.inf)


def test_an_unfinished_solve_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_ITERATIONS", 1)
    distances = np.random.default_rng(0).random((30, 31))
    with (
        pytest.warns(UserWarning, match="numItermax"),
        pytest.raises(RuntimeError, match="POT found no optimal transport between 30 and 31"),
    ):
        transport_drift(distances, 2.0)
