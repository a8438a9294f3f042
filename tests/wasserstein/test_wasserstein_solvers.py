"""The solvers on a line and in the plane against a dense assignment, each other and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from lightning_topolip.wasserstein import wasserstein_distance, wasserstein_distances
from lightning_topolip.wasserstein.diagram import NO_MATES, Floats, half_persistence, on_one_line, read_diagram
from lightning_topolip.wasserstein.line_alignment import line_distances
from lightning_topolip.wasserstein.plane_matching import plane_distances

EXACT = 1e-9
ORDERS = (1.0, 1.5, 2.0, 3.0, 9.0)


def norm_of(lengths: Floats, order: float) -> float:
    peak = float(lengths.max(initial=0.0))
    return peak * math.fsum((lengths / peak) ** order) ** (1 / order) if peak else 0.0


def full_assignment(first: Floats, second: Floats, order: float) -> float:
    """W_p by the definition: (k + m)^2 costs with a diagonal place per point, and scipy's assignment."""
    k, m = len(first), len(second)
    lengths = np.zeros((k + m, k + m))
    lengths[:k, :m] = np.abs(first[:, None] - second[None]).max(axis=2)
    lengths[:k, m:] = half_persistence(first)[:, None]
    lengths[k:, :m] = half_persistence(second)[None]
    return norm_of(lengths[linear_sum_assignment((lengths / lengths.max()) ** order)], order)


def reduced_assignment(first: Floats, second: Floats, order: float) -> float:
    """The same with the diagonal subtracted from the costs: only k times m of them, for large diagrams."""
    lengths = np.abs(first[:, None] - second[None]).max(axis=2)
    halves = half_persistence(first), half_persistence(second)
    unit = max(half.max() for half in halves)
    left, right = ((half / unit) ** order for half in halves)
    rows, columns = linear_sum_assignment(np.minimum((lengths / unit) ** order - left[:, None] - right, 0.0))
    worth = (lengths[rows, columns] / unit) ** order < left[rows] + right[columns]
    rows, columns = rows[worth], columns[worth]
    unmatched = np.delete(halves[0], rows), np.delete(halves[1], columns)
    return norm_of(np.concatenate((lengths[rows, columns], *unmatched)), order)


def blob(generator: np.random.Generator, count: int) -> Floats:
    births = generator.random(count)
    return np.stack((births, births + generator.exponential(0.2, count)), axis=1)


def far_from_the_diagonal(generator: np.random.Generator, count: int) -> Floats:
    births = generator.random(count)
    return np.stack((births, births + 3.0 + generator.random(count)), axis=1)


def grid(generator: np.random.Generator, count: int) -> Floats:
    births = generator.integers(0, 5, count)
    return np.stack((births, births + generator.integers(1, 5, count)), axis=1).astype(float)


def all_scales(generator: np.random.Generator, count: int) -> Floats:
    births = generator.random(count)
    return np.stack((births, births + 10.0 ** generator.uniform(-9, 1, count)), axis=1)


def line(generator: np.random.Generator, count: int) -> Floats:
    return np.stack((np.full(count, 2.0), 2.0 + generator.exponential(1.0, count)), axis=1)


def line_grid(generator: np.random.Generator, count: int) -> Floats:
    return np.stack((np.zeros(count), generator.integers(1, 6, count)), axis=1).astype(float)


def line_of_clusters(generator: np.random.Generator, count: int) -> Floats:
    return np.stack((np.zeros(count), generator.integers(1, 4, count) + 1e-6 * generator.random(count)), axis=1)


PLANES, LINES = (blob, far_from_the_diagonal, grid, all_scales), (line, line_grid, line_of_clusters)


def pair(family: object, seed: int, k: int, m: int) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    return tuple(read_diagram("points", family(generator, count)) for count in (k, m))  # type: ignore[operator, return-value]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PLANES + LINES), st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 70))
def test_equals_the_full_assignment(family: object, seed: int, k: int, m: int) -> None:
    first, second = pair(family, seed, k, m)
    distances = wasserstein_distances([(first, second)], ORDERS)[0]
    for order, value in zip(ORDERS, distances, strict=True):
        assert value == pytest.approx(full_assignment(first, second, order), rel=EXACT)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PLANES + LINES), st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_equals_the_reference_engine(family: object, seed: int, k: int, m: int) -> None:
    first, second = pair(family, seed, k, m)
    for order in (1.0, 2.0):
        expected = wasserstein_distance(first, second, order, engine="pot")
        assert wasserstein_distance(first, second, order) == pytest.approx(expected, rel=EXACT, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(LINES), st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90))
def test_the_line_equals_the_plane(family: object, seed: int, k: int, m: int) -> None:
    first, second = pair(family, seed, k, m)
    orders = np.array([*ORDERS, 50.0, 1e6, math.inf])
    assert on_one_line(first, second)
    np.testing.assert_allclose(
        line_distances(first, second, orders, NO_MATES), plane_distances(first, second, orders, NO_MATES), rtol=1e-12
    )


def test_the_line_is_used_only_if_it_applies() -> None:
    points = np.array([[1.0, 2.0], [1.0, 3.0]])
    assert on_one_line(points, points[:1])
    assert not on_one_line(points, points + 1)
    assert not on_one_line(points, np.empty((0, 2)))
    assert not on_one_line(points, np.array([[0.5, 2.0], [1.0, 3.0]]))


@pytest.mark.parametrize("shift", [20, -20])
def test_an_alignment_may_be_far_from_straight(shift: int) -> None:
    common = np.linspace(20.0, 30.0, 60)
    long = np.sort(np.concatenate((common, np.linspace(31.0, 31.1, abs(shift)))))
    short = np.sort(np.concatenate((common, np.linspace(0.1, 0.2, abs(shift)))))
    first, second = (np.stack((np.zeros(len(deaths)), deaths), axis=1) for deaths in (long, short)[:: np.sign(shift)])
    for order in (1.0, 1.2, 2.0):
        value = wasserstein_distance(first, second, order)
        assert value == pytest.approx(reduced_assignment(first, second, order), rel=EXACT)
        assert value < 0.6 * norm_of(np.abs(long - short), order)


@pytest.mark.parametrize("family", PLANES)
@pytest.mark.parametrize(("k", "m"), [(31, 32), (33, 64), (65, 1), (1, 129), (1030, 70)])
def test_blocks_and_groups_have_no_seams(family: object, k: int, m: int) -> None:
    first, second = pair(family, k, k, m)
    for order in (1.0, 2.0):
        assert wasserstein_distance(first, second, order) == pytest.approx(
            reduced_assignment(first, second, order), rel=EXACT
        )


@pytest.mark.parametrize("count", [300, 2048])
def test_many_ties_terminate(count: int) -> None:
    generator = np.random.default_rng(0)
    births = generator.integers(0, 4, (2, count))
    first, second = (np.stack((b, b + generator.integers(1, 4, count)), axis=1).astype(float) for b in births)
    assert wasserstein_distance(first, second, 1.0) == pytest.approx(reduced_assignment(first, second, 1.0), rel=EXACT)
    assert wasserstein_distance(first, second, math.inf) == 0.5 * round(2 * wasserstein_distance(first, second, 1e13))
    many, fewer = np.tile([[0.0, 4.0]], (count, 1)), np.tile([[0.5, 4.0]], (count - 1, 1))
    distances = wasserstein_distances([(many, fewer)], (1, 2, math.inf))[0]
    assert distances == pytest.approx([(count - 1) / 2 + 2, math.sqrt((count - 1) / 4 + 4), 2.0], rel=EXACT)


@pytest.mark.parametrize("family", [blob, grid, line])
def test_large_diagrams_that_are_equal_or_nearly_so(family: object) -> None:
    first, _ = pair(family, 0, 2048, 1)
    generator = np.random.default_rng(1)
    assert wasserstein_distances([(first, generator.permutation(first))], (1, 2, math.inf)).tolist() == [[0.0] * 3]
    moved = first + np.stack((np.zeros(2048), 2.0**-50 * generator.integers(0, 9, 2048)), axis=1)
    one_less = generator.permutation(np.delete(moved, 1000, axis=0))
    distances = wasserstein_distances([(first, moved), (moved, one_less)], (1, 2, math.inf))
    apart = moved[:, 1] - first[:, 1]
    assert (distances[0] <= [apart.sum() * (1 + EXACT), norm_of(apart, 2.0) * (1 + EXACT), apart.max()]).all()
    assert (distances[1] <= (moved[1000, 1] - moved[1000, 0]) / 2 * (1 + EXACT)).all()
    assert (distances > 0).all()


def test_a_few_far_points_among_many_near_the_diagonal() -> None:
    generator = np.random.default_rng(3)
    births = np.arange(900) * 10.0
    noise = [np.stack((births + i, births + i + 1e-7 * generator.random(900)), axis=1) for i in (0.0, 5.0)]
    signals = np.array([[1.0, 500.0], [2.0, 700.0]]), np.array([[1.5, 501.0], [2.0, 690.0]])
    first, second = (np.concatenate(parts) for parts in zip(noise, signals, strict=True))
    small = np.concatenate([half_persistence(points) for points in noise])
    distances = wasserstein_distances([(first, second)], (1, 2, math.inf))[0]
    assert distances == pytest.approx([11.0 + small.sum(), math.hypot(1.0, 10.0), 10.0], rel=EXACT)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PLANES + LINES), st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.data())
def test_orders_in_one_call_do_not_affect_each_other(
    family: object, seed: int, k: int, m: int, data: st.DataObject
) -> None:
    first, second = pair(family, seed, k, m)
    orders = data.draw(st.lists(st.sampled_from([1.0, 1.5, 2.0, 7.0, math.inf]), min_size=1, max_size=5))
    together = wasserstein_distances([(first, second), (second, first)], orders)
    assert together[0].tolist() == together[1].tolist()
    assert together[0].tolist() == [wasserstein_distance(first, second, order) for order in orders]
