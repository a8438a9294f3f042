import math
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import norm, pearsonr, rankdata, t, ttest_ind

from lightning_topolip.study.judging.statistics import Interval, mean_difference, mean_ratio, spearman, spread

IQ = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
HOURS = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]


def nan_limits(interval: Interval) -> bool:
    return math.isnan(interval.low) and math.isnan(interval.high)


@pytest.mark.parametrize("sizes", [(3, 3), (2, 7), (10, 4)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_difference_has_the_interval_of_welch(sizes: tuple[int, int], confidence: float) -> None:
    generator = np.random.default_rng(sum(sizes))
    first, second = generator.normal(3.0, 1.0, sizes[0]), generator.normal(2.0, 5.0, sizes[1])
    errors = np.array([side.var(ddof=1) / side.size for side in (first, second)])
    freedom = errors.sum() ** 2 / (errors**2 / (np.array(sizes) - 1)).sum()
    half = t.ppf((1 + confidence) / 2, freedom) * math.sqrt(errors.sum())
    difference = mean_difference(first, second, confidence)
    assert difference.value == pytest.approx(first.mean() - second.mean())
    assert (difference.low, difference.high) == pytest.approx(
        (difference.value - half, difference.value + half), rel=1e-9
    )


def test_ratio_is_the_exponential_of_the_difference_of_the_logarithms() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.lognormal(1.0, 0.3, 4), generator.lognormal(0.0, 0.8, 6)
    expected = ttest_ind(np.log(first), np.log(second), equal_var=False).confidence_interval(0.9)
    ratio = mean_ratio(first, second, 0.9)
    assert ratio.value == pytest.approx(np.prod(first) ** (1 / 4) / np.prod(second) ** (1 / 6))
    assert (ratio.low, ratio.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)), rel=1e-9)


def test_errors_of_the_probe_are_a_component_of_infinite_freedom() -> None:
    first, second = np.array([3.0, 4.5, 5.0]), np.array([1.0, 1.5, 2.0, 1.2])
    first_errors, second_errors = [1.0, 2.0, 3.0], [2.0, 2.0, math.nan, 2.0]
    spreads = np.array([first.var(ddof=1) / 3, second.var(ddof=1) / 4])
    variance = spreads.sum() + (1 + 4 + 9) / 3 + 4
    half = t.ppf(0.95, variance**2 / (spreads[0] ** 2 / 2 + spreads[1] ** 2 / 3)) * math.sqrt(variance)
    difference = mean_difference(first, second, 0.9, first_errors, second_errors)
    assert difference == pytest.approx((first.mean() - second.mean(), difference.value - half, difference.value + half))


def test_no_error_narrows_an_interval() -> None:
    first, second = [0.10, 0.11, 0.12], [0.15, 0.16, 0.17]
    intervals = [mean_difference(first, second, 0.95, [error] * 3) for error in (0.0, 0.002, 0.005, 0.01, 0.02)]
    widths = [interval.high - interval.low for interval in intervals]
    assert widths == sorted(widths)
    assert widths[-1] > 1.5 * widths[0]


def test_errors_alone_make_a_normal_interval() -> None:
    half = norm.ppf(0.975) * 0.5
    assert mean_difference([2.0, 2.0], [1.0, 1.0], 0.95, [0.3, 0.3], [0.4, 0.4]) == pytest.approx(
        (1.0, 1.0 - half, 1.0 + half)
    )


def test_the_errors_of_a_ratio_are_relative() -> None:
    first, second = np.array([1.0, 2.0, 4.0]), np.array([30.0, 50.0])
    expected = mean_difference(np.log(first), np.log(second), 0.95, [0.1] * 3, [0.2] * 2)
    ratio = mean_ratio(first, second, 0.95, 0.1 * first, 0.2 * second)
    assert ratio == pytest.approx([math.exp(limit) for limit in expected])


@pytest.mark.parametrize("estimate", [mean_difference, mean_ratio])
def test_unknown_errors_and_those_of_skipped_values_add_nothing(estimate: Callable[..., Interval]) -> None:
    first, second = [1.0, math.nan, 2.0], [3.0, 5.0]
    bare = estimate(first, second)
    assert estimate(first, second, 0.95, [0.0, 9.0, math.nan], [math.nan, 0.0]) == bare


def test_seeds_on_a_shared_probe_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(1000):
        shared = generator.normal(0.0, 2.0, 2)
        first, second = generator.normal(1.0 + shared[0], 1.0, 4), generator.normal(shared[1], 1.0, 4)
        _, low, high = mean_difference(first, second, 0.95, [2.0] * 4, [2.0] * 4)
        hits += low <= 1.0 <= high
    assert hits / 1000 == pytest.approx(0.95, abs=0.02)


def test_swapping_the_sides_inverts_difference_and_ratio() -> None:
    first, second = [1.0, 2.0, 4.0], [3.0, 3.5]
    there, back = mean_difference(first, second), mean_difference(second, first)
    assert there == pytest.approx((-back.value, -back.high, -back.low))
    there, back = mean_ratio(first, second), mean_ratio(second, first)
    assert there == pytest.approx((1 / back.value, 1 / back.high, 1 / back.low))


def test_units_scale_a_difference_and_leave_a_ratio_unchanged() -> None:
    first, second = np.array([1.0, 2.0, 4.0]), np.array([3.0, 3.5])
    assert mean_difference(1000 * first + 7, 1000 * second + 7) == pytest.approx(
        1000 * np.array(mean_difference(first, second))
    )
    assert mean_ratio(1000 * first, 1000 * second) == pytest.approx(mean_ratio(first, second))


def test_difference_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        _, low, high = mean_difference(generator.normal(1.0, 1.0, 5), generator.normal(0.0, 3.0, 7))
        hits += low <= 1.0 <= high
    assert hits / 1000 == pytest.approx(0.95, abs=0.02)


def test_ratio_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(1000):
        _, low, high = mean_ratio(generator.lognormal(math.log(2), 0.2, 4), generator.lognormal(0.0, 0.5, 4), 0.9)
        hits += low <= 2.0 <= high
    assert hits / 1000 == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("estimate", [mean_difference, mean_ratio])
def test_nan_is_skipped(estimate: Callable[..., Interval]) -> None:
    assert estimate([1.0, math.nan, 2.0], [3.0, 5.0, math.nan]) == estimate([1.0, 2.0], [3.0, 5.0])


@pytest.mark.parametrize(("sides", "value"), [(([2.0], [1.0, 3.0, 5.0]), -1.0), (([2.0], [1.5]), 0.5)])
def test_one_value_per_side_has_no_interval(sides: tuple[list[float], list[float]], value: float) -> None:
    difference = mean_difference(*sides)
    assert difference.value == value
    assert nan_limits(difference)
    assert nan_limits(mean_ratio(*sides))


@pytest.mark.parametrize("estimate", [mean_difference, mean_ratio])
def test_an_empty_side_has_no_estimate(estimate: Callable[..., Interval]) -> None:
    assert all(math.isnan(number) for number in estimate([], [1.0, 2.0]))


def test_two_constant_sides_leave_nothing_to_estimate() -> None:
    assert mean_difference([0.5] * 3, [0.25] * 2) == (0.25, 0.25, 0.25)
    assert mean_ratio([0.5] * 3, [0.25] * 2) == pytest.approx((2.0, 2.0, 2.0))


def test_equal_constants_have_difference_zero_for_any_sizes() -> None:
    assert mean_difference([0.1] * 3, [0.1] * 7) == (0.0, 0.0, 0.0)
    assert mean_ratio([0.1] * 3, [0.1] * 7) == (1.0, 1.0, 1.0)


def test_a_difference_of_rounding_errors_is_zero() -> None:
    rounded = 0.1 + 0.2
    assert rounded != 0.3
    assert mean_difference([rounded, rounded], [0.3, 0.3]) == (0.0, 0.0, 0.0)
    assert mean_ratio([rounded, 0.3], [0.3, 0.3]) == (1.0, 1.0, 1.0)


def test_one_constant_side_takes_its_width_from_the_other() -> None:
    difference = mean_difference([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    half = 4.302652729911275 / math.sqrt(
        3
    )  # Student's t at 0.975 with 2 degrees of freedom, standard error 1 / sqrt(3)
    assert difference == pytest.approx((-2.0, -2.0 - half, -2.0 + half))


@pytest.mark.parametrize("odd", [0.0, -1.0, math.inf])
def test_a_ratio_needs_positive_finite_values(odd: float) -> None:
    assert nan_limits(mean_ratio([1.0, 2.0, odd], [1.0, 2.0, 3.0]))


def test_infinite_values_have_no_interval() -> None:
    difference = mean_difference([1.0, math.inf], [math.inf, 1.0])
    assert math.isnan(difference.value)
    assert nan_limits(difference)


def test_rank_correlation_of_the_textbook() -> None:
    correlation = spearman(IQ, HOURS)
    assert correlation.rho == pytest.approx(-29 / 165)
    assert (correlation.low, correlation.high) == pytest.approx((-0.7279, 0.5146), abs=1e-4)
    assert correlation.pairs == 10


def test_ties_take_their_mean_rank() -> None:
    x, y = [1.0, 2.0, 2.0, 3.0, 5.0], [2.0, 2.0, 1.0, 4.0, 4.0]
    expected = pearsonr(rankdata(x), rankdata(y)).statistic
    assert spearman(x, y).rho == pytest.approx(expected)


def test_limits_have_the_published_variance() -> None:
    correlation = spearman(IQ, HOURS, 0.9)
    width = np.arctanh(correlation.high) - np.arctanh(correlation.low)
    variance = (width / (2 * norm.ppf(0.95))) ** 2
    assert variance == pytest.approx((1 + correlation.rho**2 / 2) / (10 - 3))


def test_rank_correlation_depends_on_ranks_only_and_mirrors() -> None:
    correlation = spearman(IQ, HOURS)
    assert spearman(np.exp(np.array(IQ) / 10), np.cbrt(HOURS)) == correlation
    assert spearman(HOURS, IQ) == pytest.approx(correlation)
    mirrored = spearman(IQ, -np.array(HOURS))
    assert mirrored == pytest.approx((-correlation.rho, -correlation.high, -correlation.low, 10))


def test_rank_correlation_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    truth = 6 / math.pi * math.asin(0.6 / 2)
    pairs = generator.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], (1000, 20))
    correlations = [spearman(*sample.T) for sample in pairs]
    assert np.mean([each.low <= truth <= each.high for each in correlations]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_few_unrelated_pairs_look_related_no_more_often_than_allowed(n: int) -> None:
    correlations = [spearman(range(n), order) for order in permutations(range(n))]
    assert np.mean([each.low > 0 or each.high < 0 for each in correlations]) <= 0.05


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_order_reaches_one_but_keeps_an_interval(sign: int) -> None:
    limits = []
    for n in (5, 10, 40):
        correlation = spearman(np.arange(n), sign * np.arange(n))
        near, far = (correlation.low, correlation.high) if sign > 0 else (-correlation.high, -correlation.low)
        assert (sign * correlation.rho, far) == pytest.approx((1, 1))
        limits.append(near)
    assert 0 < limits[0] < limits[1] < limits[2] < 1


def test_the_estimate_lies_in_its_interval() -> None:
    generator = np.random.default_rng(4)
    for n in range(4, 30):
        correlation = spearman(generator.integers(0, 6, n), generator.integers(0, 6, n))
        assert -1 <= correlation.low <= correlation.rho <= correlation.high <= 1


def test_pairs_with_nan_are_skipped_and_not_counted() -> None:
    x, y = [1.0, math.nan, 3.0, 2.0, 5.0, 4.0], [1.0, 2.0, math.nan, 4.0, 9.0, 6.0]
    assert spearman(x, y) == spearman([1.0, 2.0, 5.0, 4.0], [1.0, 4.0, 9.0, 6.0])


def test_infinite_values_have_a_rank() -> None:
    assert spearman([1.0, 2.0, 3.0, math.inf], [1.0, 3.0, 2.0, 9.0]) == spearman([1, 2, 3, 4], [1, 3, 2, 9])


@pytest.mark.parametrize(("n", "rho"), [(0, math.nan), (1, math.nan), (2, 1.0), (3, 1.0)])
def test_fewer_than_four_pairs_have_no_interval(n: int, rho: float) -> None:
    correlation = spearman(np.arange(n), np.arange(n))
    assert correlation == pytest.approx((rho, math.nan, math.nan, n), nan_ok=True)


def test_a_constant_side_has_no_correlation() -> None:
    correlation = spearman([1.0] * 5, np.arange(5))
    assert correlation == pytest.approx((math.nan, math.nan, math.nan, 5), nan_ok=True)


def test_spread_of_few_values() -> None:
    assert spread([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == pytest.approx((5.0, math.sqrt(32 / 7), 8))
    assert spread([3.0, math.nan]) == pytest.approx((3.0, math.nan, 1), nan_ok=True)
    assert spread([]) == pytest.approx((math.nan, math.nan, 0), nan_ok=True)


@pytest.mark.parametrize("estimate", [mean_difference, mean_ratio, spearman])
@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, math.nan])
def test_confidence_must_be_between_zero_and_one(estimate: Callable[..., Interval], confidence: float) -> None:
    with pytest.raises(ValueError, match="`confidence` must be between 0 and 1"):
        estimate([1.0, 2.0], [3.0, 4.0], confidence)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`second` must be a list of numbers, shape \(n,\), got shape \(1, 2\)"):
        mean_difference([1.0, 2.0], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="`first_errors` must have one error per value, got 1 for 2 values"):
        mean_difference([1.0, 2.0], [1.0, 2.0], first_errors=[0.1])
    with pytest.raises(ValueError, match="`x` and `y` must have the same length, got 2 and 3"):
        spearman([1.0, 2.0], [1.0, 2.0, 3.0])
