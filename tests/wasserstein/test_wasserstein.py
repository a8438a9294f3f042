"""The distance between diagrams: values by hand, an exact brute force, other solvers, invariances.

Hera is the reference for the bottleneck: that of GUDHI 3.13 is wrong on some small diagrams, even with
e=0 (1.74 for 1.0); compare https://github.com/GUDHI/gudhi-devel/pull/1367.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lightning_topolip.wasserstein import combine_dimensions, wasserstein_distance, wasserstein_distances
from lightning_topolip.wasserstein.diagram import read_diagram

EXACT = 1e-9
ORDERS = (1.0, 2.0, 3.0, math.inf)


def brute_force(first: np.ndarray, second: np.ndarray, order: float) -> float:
    """W_p by the definition, in rational arithmetic, over every partial matching."""
    a = [tuple(map(Fraction, map(float, point))) for point in first]
    b = [tuple(map(Fraction, map(float, point))) for point in second]

    def matchings(rest: list, free: list) -> Iterator[list[Fraction]]:
        if not rest:
            yield [(death - birth) / 2 for birth, death in free]
            return
        (birth, death), rest = rest[0], rest[1:]
        for lengths in matchings(rest, free):
            yield [(death - birth) / 2, *lengths]
        for index, (other_birth, other_death) in enumerate(free):
            here = max(abs(birth - other_birth), abs(death - other_death))
            for lengths in matchings(rest, free[:index] + free[index + 1 :]):
                yield [here, *lengths]

    if order == math.inf:
        return float(min(max(lengths, default=Fraction(0)) for lengths in matchings(a, b)))
    power = int(order)
    assert power == order, "rational powers only"
    best = min((lengths for lengths in matchings(a, b)), key=lambda lengths: sum(x**power for x in lengths))
    peak = max(best, default=Fraction(0))
    return float(peak) * float(sum((x / peak) ** power for x in best)) ** (1 / power) if peak else 0.0


def random_diagram(seed: int, size: int, birth: float | None = None) -> np.ndarray:
    generator = np.random.default_rng(seed)
    births = generator.random(size) if birth is None else np.full(size, birth)
    return np.stack((births, births + generator.exponential(0.3, size)), axis=1)


finite = st.floats(-4, 4, allow_subnormal=False)
lifetime = st.one_of(st.floats(0, 4, allow_subnormal=False), st.sampled_from([1e-14, 1e-9, 1e-4, 0.5, 1.0, 1.0, 2.0]))
real_point = st.tuples(finite, lifetime).map(lambda p: (p[0], p[0] + p[1]))
grid_point = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda p: (p[0], p[0] + p[1]))
line_point = lifetime.map(lambda life: (0.0, life))


def diagrams(most: int) -> st.SearchStrategy[np.ndarray]:
    def arrays(point: st.SearchStrategy) -> st.SearchStrategy[np.ndarray]:
        return st.lists(point, max_size=most).map(lambda points: np.array(points, float).reshape(-1, 2))

    return st.one_of(arrays(real_point), arrays(grid_point), arrays(line_point))


def by_pot(first: list, second: list, order: float) -> float:
    if order == math.inf:
        pytest.skip("POT has no bottleneck distance")
    return wasserstein_distance(first, second, order, engine="pot")


def by_gudhi(first: list, second: list, order: float) -> float:
    hera = pytest.importorskip("gudhi.hera")
    a, b = (np.array(points, float).reshape(-1, 2) for points in (first, second))
    if order == math.inf:
        return float(hera.bottleneck_distance(a, b, delta=0))
    return float(hera.wasserstein_distance(a, b, order=order, internal_p=np.inf, delta=1e-10))


SOLVERS = {
    "exact": wasserstein_distance,
    "pot": by_pot,
    "gudhi": by_gudhi,
    "brute force": lambda first, second, order: brute_force(np.array(first), np.array(second), order),
}

BATTERY = [
    # first, second, {order: distance}
    ([], [], {1: 0, 2: 0, math.inf: 0}),
    ([], [(1, 5)], {1: 2, 2: 2, math.inf: 2}),
    ([(0, 2), (0, 4)], [], {1: 3, 2: 5**0.5, math.inf: 2}),
    ([(0, 4)], [(0, 5)], {1: 1, 2: 1, math.inf: 1}),
    ([(0, 4)], [(1, 5)], {1: 1, 2: 1, math.inf: 1}),
    ([(0, 4)], [(10, 14)], {1: 4, 2: 8**0.5, math.inf: 2}),
    ([(0, 4), (1, 2)], [(0, 5)], {1: 1.5, 2: 1.25**0.5, math.inf: 1}),
    ([(2.7, 3.7), (9.6, 14), (34.2, 34.974)], [(2.8, 4.45), (9.5, 14.1)], {1: 1.237, math.inf: 0.75}),
    ([(0, 1), (0, 1)], [(0, 1)], {1: 0.5, 2: 0.5, math.inf: 0.5}),
    ([(0, 10), (0, 8), (0, 6)], [(0, 8), (0, 6), (0, 4)], {1: 6, 2: 12**0.5, math.inf: 2}),
    ([(0, 10), (0, 10), (0, 1)], [(0, 10), (0, 1), (0, 1)], {1: 5.5, 2: 25.25**0.5, math.inf: 5}),
    ([(0, 10), (0, 9)], [(0, 9)], {1: 5, 2: 21.25**0.5, math.inf: 4.5}),
    ([(0, 3), (0, 3)], [(2, 5), (-2, 1)], {1: 4, 2: 8**0.5, math.inf: 1.5}),
]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("first", "second", "expected"), BATTERY)
def test_hand_computed_values(solver: str, first: list, second: list, expected: dict[float, float]) -> None:
    for order, value in expected.items():
        if solver == "pot" and order == math.inf:
            continue
        assert SOLVERS[solver](first, second, order) == pytest.approx(value, rel=1e-9, abs=1e-15)


@settings(max_examples=250, deadline=None)
@given(diagrams(4), diagrams(4), st.sampled_from([*ORDERS, 12.0, 60.0]))
def test_equals_the_definition(first: np.ndarray, second: np.ndarray, order: float) -> None:
    assert wasserstein_distance(first, second, order) == pytest.approx(
        brute_force(first, second, order), rel=EXACT, abs=0
    )


@settings(max_examples=60, deadline=None)
@given(diagrams(4), st.sampled_from(ORDERS), st.integers(0, 2**32 - 1), st.integers(-13, -3))
def test_equals_the_definition_for_nearly_equal_diagrams(
    first: np.ndarray, order: float, seed: int, exponent: int
) -> None:
    second = first + [[0.0, 10.0**exponent]] * np.random.default_rng(seed).random((len(first), 1))
    assert wasserstein_distance(first, second, order) == pytest.approx(
        brute_force(first, second, order), rel=EXACT, abs=0
    )


@pytest.mark.parametrize("order", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize(("k", "m"), [(40, 45), (1, 90), (120, 7), (150, 150), (330, 340)])
@pytest.mark.parametrize("birth", [None, 0.0, 2.5])
def test_equals_pot(order: float, k: int, m: int, birth: float | None) -> None:
    first, second = random_diagram(k, k, birth), random_diagram(m + 1000, m, birth)
    expected = wasserstein_distance(first, second, order, engine="pot")
    assert expected > 0.1
    assert wasserstein_distance(first, second, order) == pytest.approx(expected, rel=EXACT)


def test_equals_pot_on_ties() -> None:
    generator = np.random.default_rng(5)
    for size in (30, 300):
        first, second = (np.cumsum(generator.integers(1, 6, (size, 2)), axis=1).astype(float) for _ in range(2))
        for order in (1.0, 2.0):
            expected = wasserstein_distance(first, second, order, engine="pot")
            assert expected >= 1.0
            assert wasserstein_distance(first, second, order) == pytest.approx(expected, rel=EXACT)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 40), st.booleans(), st.booleans())
def test_bottleneck_equals_a_search_over_the_full_matrix(seed: int, k: int, m: int, line: bool, ties: bool) -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    first, second = (
        random_diagram(seed, k, 1.0 if line else None),
        random_diagram(seed + 1, m, 1.0 if line else None),
    )
    if ties:
        first, second = np.ceil(first * 6), np.ceil(second * 6)
        first, second = (points[points[:, 0] < points[:, 1]] for points in (first, second))
        k, m = len(first), len(second)
    assume(k + m > 0)
    lengths = np.zeros((k + m, k + m))
    lengths[:k, :m] = np.abs(first[:, None] - second[None]).max(axis=2)
    lengths[:k, m:] = (first[:, 1:] - first[:, :1]) / 2
    lengths[k:, :m] = (second[:, 1] - second[:, 0]) / 2
    expected = next(
        radius
        for radius in np.unique(lengths)
        if (maximum_bipartite_matching(csr_matrix(lengths <= radius), perm_type="column") >= 0).all()
    )
    assert wasserstein_distance(first, second, math.inf) == expected


def test_equals_hera_on_rips_diagrams() -> None:
    hera = pytest.importorskip("gudhi.hera")
    rips = pytest.importorskip("gudhi").RipsComplex
    generator = np.random.default_rng(0)
    diagrams = []
    for _ in range(2):
        tree = rips(points=generator.normal(size=(60, 5))).create_simplex_tree(max_dimension=2)
        tree.compute_persistence()
        diagrams.append([tree.persistence_intervals_in_dimension(dimension) for dimension in (0, 1)])
    for dimension in (0, 1):
        first, second = (points[dimension][np.isfinite(points[dimension][:, 1])] for points in diagrams)
        assert min(len(first), len(second)) > 15
        for order in (1.0, 2.0):
            expected = hera.wasserstein_distance(first, second, order=order, internal_p=np.inf, delta=1e-4)
            assert wasserstein_distance(first, second, order) == pytest.approx(expected, rel=2e-4)
        expected = hera.bottleneck_distance(first, second, delta=0)
        assert wasserstein_distance(first, second, math.inf) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("order", [1.0, 2.0, 5.0, 40.0, math.inf])
@pytest.mark.parametrize("size", [1e-14, 1e-11, 1e-6, 1e-2])
@pytest.mark.parametrize("line", [True, False])
def test_small_differences_keep_their_digits(order: float, size: float, line: bool) -> None:
    generator = np.random.default_rng(3)
    count = 300
    first = np.stack((np.zeros(count) if line else np.arange(count), np.arange(count) + 1.5), axis=1)
    second = first + [[0.0, size]] * generator.random((count, 1))
    moved = second[:, 1] - first[:, 1]
    if size < 1e-13:  # below the spacing of large numbers: some points do not move
        assert 0 < np.count_nonzero(moved) < count
    peak = moved.max()
    expected = peak if order == math.inf else peak * ((moved / peak) ** order).sum() ** (1 / order)
    assert wasserstein_distance(first, second[generator.permutation(count)], order) == pytest.approx(
        expected, rel=EXACT
    )


@pytest.mark.parametrize("order", [1.0, 2.0, 5.0, 40.0, math.inf])
@pytest.mark.parametrize("spacing", [1e-11, 1e-8, 1e-4])
@pytest.mark.parametrize("line", [True, False])
def test_tight_clusters_far_from_the_diagonal_keep_their_digits(order: float, spacing: float, line: bool) -> None:
    generator = np.random.default_rng(7)
    steps = np.arange(60) * spacing
    away = spacing * generator.random(60) * 3
    first, second = (np.sort(points) for points in (steps, steps + away))
    still = np.zeros(60) if line else np.ones(60)
    first, second = (np.sort(np.stack((still, s + line), axis=1)) for s in (first, second))
    apart = np.abs(first - second).max(axis=1)  # in order, as on any line
    peak = apart.max()
    expected = peak if order == math.inf else peak * ((apart / peak) ** order).sum() ** (1 / order)
    value = wasserstein_distance(first, second[generator.permutation(60)], order)
    assert value == pytest.approx(expected, rel=EXACT, abs=0)


@settings(max_examples=80, deadline=None)
@given(diagrams(12), diagrams(12), st.floats(1, 30) | st.just(math.inf))
def test_symmetric_bit_for_bit(first: np.ndarray, second: np.ndarray, order: float) -> None:
    assert wasserstein_distance(first, second, order) == wasserstein_distance(second, first, order)


@settings(max_examples=80, deadline=None)
@given(diagrams(12), diagrams(12), st.floats(1, 30) | st.just(math.inf), st.integers(0, 2**32 - 1))
def test_zero_exactly_when_equal(first: np.ndarray, second: np.ndarray, order: float, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(np.concatenate((first, [[2.0, 2.0]])))
    assert wasserstein_distance(first, shuffled, order) == 0.0
    value = wasserstein_distance(first, second, order)
    assert (value == 0.0) == np.array_equal(read_diagram("first", first), read_diagram("second", second))


@settings(max_examples=80, deadline=None)
@given(diagrams(8), diagrams(8), diagrams(8), st.floats(1, 20) | st.just(math.inf))
def test_triangle_inequality(first: np.ndarray, second: np.ndarray, third: np.ndarray, order: float) -> None:
    way = wasserstein_distance(first, second, order) + wasserstein_distance(second, third, order)
    assert wasserstein_distance(first, third, order) <= way * (1 + EXACT)


@settings(max_examples=80, deadline=None)
@given(diagrams(10), diagrams(10), st.floats(1, 20) | st.just(math.inf), st.floats(1e-30, 1e30))
def test_homogeneous(first: np.ndarray, second: np.ndarray, order: float, factor: float) -> None:
    assume(not np.array_equal(read_diagram("first", first), read_diagram("second", second)))
    exponent = int(np.frexp(factor)[1])
    value = wasserstein_distance(first, second, order)
    scaled = wasserstein_distance(np.ldexp(first, exponent), np.ldexp(second, exponent), order)
    assert scaled == pytest.approx(math.ldexp(value, exponent), rel=EXACT, abs=0)


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 3.7, 1e30, 1e300])
@pytest.mark.parametrize("order", [1.0, 2.0, 7.5, math.inf])
def test_scales_do_not_overflow_or_vanish(factor: float, order: float) -> None:
    first, second = random_diagram(1, 30), random_diagram(2, 25)
    value = wasserstein_distance(first, second, order)
    assert value > 0.1
    assert wasserstein_distance(factor * first, factor * second, order) == pytest.approx(
        factor * value, rel=EXACT, abs=0
    )


@settings(max_examples=60, deadline=None)
@given(diagrams(10), diagrams(10), st.lists(st.floats(1, 60), min_size=2, max_size=4))
def test_decreases_with_the_order(first: np.ndarray, second: np.ndarray, orders: list[float]) -> None:
    values = [wasserstein_distance(first, second, order) for order in [*sorted(orders), 1e9, 1e13, math.inf]]
    for larger, smaller in itertools.pairwise(values):
        assert smaller <= larger * (1 + EXACT)
    assert values[-2] == pytest.approx(values[-1], rel=EXACT)


def test_points_on_the_diagonal_do_not_count() -> None:
    first, second = random_diagram(1, 20), random_diagram(2, 20)
    padded = np.concatenate(([[0.0, 0.0]] * 30, first, [[9.0, 9.0]]))
    for order in ORDERS:
        assert wasserstein_distance(padded, second, order) == wasserstein_distance(first, second, order) > 0


def test_takes_any_array_like_and_does_not_change_it() -> None:
    first, second = random_diagram(1, 20), random_diagram(2, 20)
    for array in (first, second):
        array.setflags(write=False)
    before = first.tobytes(), second.tobytes()
    for order in ORDERS:
        value = wasserstein_distance(first, second, order)
        assert value == wasserstein_distance(first.tolist(), second.tolist(), order) > 0
        assert value == wasserstein_distance(np.asfortranarray(first), second[::-1], order)
        single = wasserstein_distance(first.astype(np.float32), second.astype(np.float32), order)
        assert value == pytest.approx(single, rel=1e-5)
    assert (first.tobytes(), second.tobytes()) == before
    assert wasserstein_distance([(0, 4)], np.array([[0, 5]], np.int32)) == 1.0
    assert isinstance(wasserstein_distance([], []), float)


BAD_DIAGRAMS: list[tuple[object, str]] = [
    ([1.0, 2.0], r"\(k, 2\) array .* got shape \(2,\)"),
    (np.zeros((3, 3)), r"got shape \(3, 3\); pass one homology dimension at a time"),
    (np.zeros((0, 3)), r"got shape \(0, 3\)"),
    ([[0.0, math.inf]], r"finite points only, got \(0.0, inf\) at index 0 .*essential"),
    ([[0.0, 1.0], [math.nan, 1.0]], r"got \(nan, 1.0\) at index 1"),
    ([[0.0, 1.0], [2.0, 1.0]], r"birth <= death, got \(2.0, 1.0\) at index 1"),
    ([["a", "b"]], r"got list .*pass real numbers"),
    ([[0, 1], [2]], r"got list"),
    ([[0j, 1j]], r"complex"),
    (None, r"got NoneType"),
]


@pytest.mark.parametrize(("bad", "text"), BAD_DIAGRAMS)
def test_the_error_for_a_wrong_diagram_names_the_argument(bad: object, text: str) -> None:
    with pytest.raises(ValueError, match=f"^Argument `first` must .*{text}"):
        wasserstein_distance(bad, [[0, 1]])
    with pytest.raises(ValueError, match=f"^Argument `second` must .*{text}"):
        wasserstein_distance([], bad)
    with pytest.raises(ValueError, match=rf"^Argument `pairs\[1\]\[0\]` must .*{text}"):
        wasserstein_distances([([], []), (bad, [])])


@pytest.mark.parametrize("order", [0.5, 0, -1, math.nan, "2", None, True])
def test_the_error_for_a_wrong_order_names_the_argument(order: float) -> None:
    calls: list[Callable[[], object]] = [
        lambda: wasserstein_distance([], [], order),
        lambda: wasserstein_distances([], order),
        lambda: wasserstein_distances([], [1.0, order]),
        lambda: combine_dimensions([1.0], order),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^Argument `order` must be a number in \[1, inf\], got .*; use 1, 2"):
            call()


def test_the_error_for_a_wrong_engine_names_the_argument() -> None:
    with pytest.raises(ValueError, match='Argument `engine` must be "exact" or "pot", got \'hera\''):
        wasserstein_distance([], [], engine="hera")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='Argument `order` must be finite with engine="pot"'):
        wasserstein_distance([[0, 1]], [], math.inf, engine="pot")


def test_many_pairs_equal_single_calls() -> None:
    pairs = [
        (random_diagram(i, 5 * i, birth), random_diagram(i + 9, 20, birth)) for i in range(5) for birth in (None, 0.0)
    ]
    together = wasserstein_distances(pairs, ORDERS)
    assert together.shape == (len(pairs), len(ORDERS))
    for order, column in zip(ORDERS, together.T, strict=True):
        values = wasserstein_distances(pairs, order)
        assert values.dtype == np.float64
        assert values.tolist() == column.tolist()
        assert values.tolist() == [wasserstein_distance(first, second, order) for first, second in pairs]
        assert (values > 0).all()
    assert wasserstein_distances([]).shape == (0,)
    assert wasserstein_distances([], [1, 2]).shape == (0, 2)
    assert wasserstein_distances(pairs, []).shape == (len(pairs), 0)


def test_many_pairs_may_be_views_or_share_arrays() -> None:
    first, second = random_diagram(1, 30), random_diagram(2, 30)
    views = np.stack([np.stack([first, second]), np.stack([second, 2 * first])])  # new views in every iteration
    expected = [wasserstein_distance(first, second), wasserstein_distance(second, 2 * first)]
    assert wasserstein_distances(views).tolist() == expected
    assert wasserstein_distances([(first, second), (second, 2 * first), (first, first)]).tolist() == [*expected, 0.0]


def test_dimensions_combine_as_one_labelled_diagram() -> None:
    assert combine_dimensions([3.0, 4.0], 2) == 5.0
    assert combine_dimensions((x for x in (3.0, 4.0)), 1) == 7.0
    assert combine_dimensions([3.0, 4.0], math.inf) == 4.0
    assert combine_dimensions([], 2) == combine_dimensions([0.0, 0.0], 2) == 0.0
    assert combine_dimensions([3e300, 4e300], 2) == pytest.approx(5e300)
    assert combine_dimensions([3e-300, 4e-300], 2) == pytest.approx(5e-300, abs=0)
    assert math.isnan(combine_dimensions([1.0, math.nan], math.inf))
    assert math.isnan(combine_dimensions([math.inf, math.nan], 2))
    assert combine_dimensions([math.inf, 1.0], 2) == math.inf
    with pytest.raises(ValueError, match=r"Argument `distances` must be >= 0 or NaN, got -1\.0"):
        combine_dimensions([-1.0, 2.0], 2)
    far = 1e6  # so far apart that no points of the two dimensions match
    first, second = (random_diagram(1, 9), random_diagram(2, 8)), (random_diagram(3, 7), random_diagram(4, 9))
    for order in ORDERS:
        parts = [wasserstein_distance(a, b, order) for a, b in zip(first, second, strict=True)]
        whole = wasserstein_distance(*(np.concatenate((a, b + far)) for a, b in (first, second)), order)
        assert combine_dimensions(parts, order) == pytest.approx(whole, rel=1e-8)
