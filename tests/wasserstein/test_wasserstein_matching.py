"""The matching of two diagrams: scipy's assignment, the distance itself, symmetries, degenerate diagrams, errors."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import lightning_topolip
from lightning_topolip.wasserstein import wasserstein_distance, wasserstein_matching
from lightning_topolip.wasserstein.diagram import Floats, Indices

ORDERS = (1.0, 1.5, 2.0, 7.0, 1e13, math.inf)


def pair_lengths(first: Floats, second: Floats, pairs: Indices) -> list[float]:
    def length(i: int, j: int) -> float:
        if j < 0:
            return float(first[i, 1] - first[i, 0]) / 2
        if i < 0:
            return float(second[j, 1] - second[j, 0]) / 2
        return float(np.abs(first[i] - second[j]).max())

    return [length(i, j) for i, j in pairs.tolist()]


def norm(lengths: list[float], order: float) -> float:
    peak = max(lengths, default=0.0)
    if order == math.inf or peak == 0.0:
        return peak
    return peak * math.fsum((length / peak) ** order for length in lengths) ** (1 / order)


def check(first: Floats, second: Floats, order: float) -> Indices:
    """Check all that holds for every matching; return it."""
    pairs = wasserstein_matching(first, second, order)
    k, m = len(first), len(second)
    assert pairs.dtype == np.int64
    assert pairs.shape[1] == 2
    assert pairs[:k, 0].tolist() == list(range(k))
    assert (pairs[k:, 0] == -1).all()
    assert (np.diff(pairs[k:, 1]) > 0).all()
    assert sorted(pairs[pairs[:, 1] >= 0, 1].tolist()) == list(range(m))
    for side, points in enumerate((first, second)):
        flat = np.flatnonzero(points[:, 0] == points[:, 1])
        assert (pairs[np.isin(pairs[:, side], flat), 1 - side] == -1).all()
    assert norm(pair_lengths(first, second, pairs), order) == pytest.approx(
        wasserstein_distance(first, second, order), rel=1e-12, abs=0
    )
    return pairs


def point_arrays(birth: st.SearchStrategy, life: st.SearchStrategy, most: int) -> st.SearchStrategy[Floats]:
    points = st.lists(st.tuples(birth, life).map(lambda p: (p[0], p[0] + p[1])), max_size=most)
    return points.map(lambda each: np.array(each, float).reshape(-1, 2))


real = st.floats(0, 4, allow_subnormal=False)
same_kind = st.one_of(
    *(
        st.tuples(diagram, diagram)
        for diagram in (
            point_arrays(st.integers(0, 3), st.integers(0, 3), 14),
            point_arrays(st.just(2), st.integers(0, 4), 14),
            point_arrays(real, real, 14),
            point_arrays(st.just(0.0), real, 14),
        )
    )
)


@settings(max_examples=300, deadline=None)
@given(same_kind, st.sampled_from([1.0, 1.5, 2.0, 7.0]))
def test_costs_as_much_as_the_full_assignment(diagrams: tuple[Floats, Floats], order: float) -> None:
    first, second = diagrams
    k, m = len(first), len(second)
    lengths = np.zeros((k + m, k + m))
    lengths[:k, :m] = np.abs(first[:, None] - second[None]).max(axis=2)
    lengths[:k, m:] = (first[:, 1:] - first[:, :1]) / 2
    lengths[k:, :m] = (second[:, 1] - second[:, 0]) / 2
    unit = lengths.max(initial=0.0) or 1.0
    expected = norm(lengths[linear_sum_assignment((lengths / unit) ** order)].tolist(), order)
    pairs = check(first, second, order)
    assert norm(pair_lengths(first, second, pairs), order) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=300, deadline=None)
@given(same_kind, st.sampled_from(ORDERS))
def test_exchanged_arguments_exchange_the_columns(diagrams: tuple[Floats, Floats], order: float) -> None:
    first, second = diagrams
    there, back = check(first, second, order), check(second, first, order)
    assert sorted(map(tuple, there.tolist())) == sorted((i, j) for j, i in back.tolist())


@settings(max_examples=150, deadline=None)
@given(same_kind, st.sampled_from(ORDERS), st.integers(0, 2**32 - 1))
def test_the_order_of_the_points_does_not_matter(diagrams: tuple[Floats, Floats], order: float, seed: int) -> None:
    first, second = diagrams
    generator = np.random.default_rng(seed)
    places = [generator.permutation(len(points)) for points in diagrams]
    shuffled = check(first[places[0]], second[places[1]], order)

    def by_value(first: Floats, second: Floats, pairs: Indices) -> list[list[list[float]]]:
        return sorted([first[[i]].tolist() if i >= 0 else [], second[[j]].tolist() if j >= 0 else []] for i, j in pairs)

    assert by_value(first, second, check(first, second, order)) == by_value(
        first[places[0]], second[places[1]], shuffled
    )


@settings(max_examples=100, deadline=None)
@given(same_kind, st.sampled_from(ORDERS))
def test_equal_diagrams_are_matched_point_by_point(diagrams: tuple[Floats, Floats], order: float) -> None:
    points = np.concatenate((*diagrams, [[1.0, 3.0], [1.0, 3.0]]))
    off = np.flatnonzero(points[:, 0] < points[:, 1])
    pairs = check(points, points.copy(), order)
    assert pairs[off].tolist() == [[i, i] for i in off]
    assert norm(pair_lengths(points, points, pairs), order) == 0.0


@settings(max_examples=200, deadline=None)
@given(same_kind, st.sampled_from([1e13, math.inf]))
@example((np.array([[0.0, 4.0], [0.0, 3.0]]), np.array([[1.0, 4.0], [0.0, 1.0]])), math.inf)
def test_no_pair_is_longer_than_the_bottleneck(diagrams: tuple[Floats, Floats], order: float) -> None:
    first, second = diagrams
    pairs = check(first, second, order)
    assert max(pair_lengths(first, second, pairs), default=0.0) == wasserstein_distance(first, second, math.inf)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("birth", [None, 0.0])
@pytest.mark.parametrize(("k", "m"), [(31, 33), (200, 260), (400, 40)])
def test_larger_diagrams(order: float, birth: float | None, k: int, m: int) -> None:
    generator = np.random.default_rng(k)
    diagrams = []
    for count in (k, m):
        births = generator.random(count) if birth is None else np.full(count, birth)
        diagrams.append(np.stack((births, births + generator.exponential(0.3, count)), axis=1))
    pairs = check(diagrams[0], diagrams[1], order)
    assert (pairs >= 0).all(axis=1).any()
    ties = [np.ceil(points * 5) for points in diagrams]
    check(ties[0], ties[1], order)


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("birth", [0.0, 1.0])
def test_the_scale_does_not_matter(factor: float, order: float, birth: float) -> None:
    generator = np.random.default_rng(0)
    exponent = int(np.frexp(factor)[1])
    births = birth * generator.random((2, 30))
    first, second = (np.stack((b, b + 0.1 + generator.random(30)), axis=1) for b in births)
    pairs = check(np.ldexp(first, exponent), np.ldexp(second, exponent), order)
    assert pairs.tolist() == wasserstein_matching(first, second, order).tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_hand_made_matchings(order: float) -> None:
    def pairs(first: object, second: object) -> list[list[int]]:
        return wasserstein_matching(first, second, order).tolist()  # type: ignore[arg-type]

    assert wasserstein_matching([], [], order).shape == (0, 2)
    assert pairs([], [[0, 1], [0, 0]]) == [[-1, 0], [-1, 1]]
    assert pairs([[0, 1], [0, 0]], []) == [[0, -1], [1, -1]]
    assert pairs([[0, 4]], [[0, 5]]) == [[0, 0]]
    assert pairs([[0, 4]], [[10, 14]]) == [[0, -1], [-1, 0]]
    assert pairs([[1, 1], [5, 9], [0, 10]], [[0, 11], [2, 2], [5, 8]]) == [[0, -1], [1, 2], [2, 0], [-1, 1]]
    assert pairs([[3, 3]], [[3, 3]]) == [[0, -1], [-1, 0]]
    assert pairs([[0, 9], [0, 9]], [[0, 8], [0, 8]]) == [[0, 0], [1, 1]]
    assert pairs([[0.0, 9], [-0.0, 9]], [[-0.0, 8], [0.0, 8]]) == [[0, 0], [1, 1]]


def test_two_matchings_of_the_bottleneck_become_one() -> None:
    # Each point that lies above the bottleneck distance, on either side, has its partner in every covering alone.
    generator = np.random.default_rng(2)
    combined = 0
    for _ in range(200):
        births = generator.integers(0, 6, (2, 40))
        lives = generator.choice([1, 1, 2, 8], (2, 40))
        first, second = (np.stack((b, b + life), axis=1).astype(float) for b, life in zip(births, lives, strict=True))
        radius = wasserstein_distance(first, second, math.inf)
        pairs = check(first, second, math.inf)
        for side, points in enumerate((first, second)):
            must = np.flatnonzero((points[:, 1] - points[:, 0]) / 2 > radius)
            assert (pairs[np.isin(pairs[:, side], must), 1 - side] >= 0).all()
            combined += len(must)
    assert combined > 200


def test_takes_any_array_like_and_does_not_change_it() -> None:
    generator = np.random.default_rng(0)
    first, second = (np.sort(generator.random((20, 2)), axis=1) for _ in range(2))
    for array in (first, second):
        array.setflags(write=False)
    expected = wasserstein_matching(first, second)
    assert np.array_equal(wasserstein_matching(first.tolist(), np.asfortranarray(second)), expected)
    assert np.array_equal(lightning_topolip.wasserstein_matching(first, second), expected)


BAD_DIAGRAMS: list[object] = [
    [1.0, 2.0],
    np.zeros((3, 3)),
    np.zeros((0, 3)),
    [[0.0, math.inf]],
    [[0.0, 1.0], [math.nan, 1.0]],
    [[0.0, 1.0], [2.0, 1.0]],
    [["a", "b"]],
    [[0, 1], [2]],
    [[0j, 1j]],
    None,
]


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(ValueError, match=r"^Argument `") as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("bad", BAD_DIAGRAMS)
def test_a_wrong_diagram_gives_the_error_of_the_distance(bad: object) -> None:
    for arguments in ((bad, [[0, 1]]), ([], bad), (bad, bad)):
        assert error_of(lambda a=arguments: wasserstein_matching(*a)) == error_of(
            lambda a=arguments: wasserstein_distance(*a)
        )


@pytest.mark.parametrize("order", [0.5, 0, -1, math.nan, "2", None, True])
def test_a_wrong_order_gives_the_error_of_the_distance(order: float) -> None:
    for diagram in ([], None):
        assert error_of(lambda d=diagram: wasserstein_matching(d, [], order)) == error_of(
            lambda d=diagram: wasserstein_distance(d, [], order)
        )
