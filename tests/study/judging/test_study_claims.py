import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from jsonargparse import ArgumentParser
from scipy.stats import spearmanr, ttest_ind

from lightning_topolip.study.judging.claims import Claim, claims_of
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.verdicts import Verdict, judge

Values = dict[tuple[str, str], list[float]]
SMOOTHER = Claim("The ViT is smoother.", summary="topolip", lower="vit", higher="resnet")
TOGETHER = Claim("They go together.", correlation=("topolip", "speed_mean"))
VARIANTS = {"topolip": "scaled W2", "speed_mean": "scaled W2", "lipschitz_bound": "upper", "parameters": ""}


def rows_of(quantity: str, values: Values) -> list[Row]:
    condition, variant = ("clean", "") if quantity == "accuracy" else ("", VARIANTS[quantity])
    layer = "<network>" if quantity == "lipschitz_bound" else ""
    return [
        Row(data, model, seed, 1.0, quantity, variant, layer, condition, 0.0, value)
        for (data, model), seeds in values.items()
        for seed, value in enumerate(seeds)
    ]


def verdict_of(claim: Claim, quantity: str, first: list[float], second: list[float], **options: float) -> Verdict:
    values = {("digits", claim.lower): first, ("digits", claim.higher): second}
    [found] = judge([claim], Results(rows_of(quantity, values)), **options)
    return found


def correlated(x: list[float], y: list[float], claim: Claim = TOGETHER) -> Verdict:
    """One model a value."""
    first, second = ({("digits", f"model {k}"): [value] for k, value in enumerate(side)} for side in (x, y))
    rows = rows_of("topolip", first) + rows_of("speed_mean", second)
    [found] = judge([claim], Results(rows))
    return found


def test_a_ratio_with_its_interval_below_one_holds() -> None:
    first, second = [0.10, 0.11, 0.12], [0.30, 0.31, 0.35]
    found = verdict_of(SMOOTHER, "topolip", first, second)
    expected = ttest_ind(np.log(first), np.log(second), equal_var=False).confidence_interval(0.95)
    assert (found.verdict, found.unit, found.runs, found.data) == ("holds", "ratio", 6, "digits")
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert found.first == "vit 0.11 ± 0.01 (3 seeds)"
    assert found.second == "resnet 0.32 ± 0.026 (3 seeds)"
    assert found.remark == ""


def test_swapping_the_models_turns_the_verdict_around() -> None:
    first, second = [0.10, 0.11, 0.12], [0.30, 0.31, 0.35]
    there, back = verdict_of(SMOOTHER, "topolip", first, second), verdict_of(SMOOTHER, "topolip", second, first)
    assert (there.verdict, back.verdict) == ("holds", "does not hold")
    assert (back.effect, back.low, back.high) == pytest.approx((1 / there.effect, 1 / there.high, 1 / there.low))


def test_an_interval_that_includes_one_is_undecided() -> None:
    found = verdict_of(SMOOTHER, "topolip", [0.1, 0.3, 0.2], [0.15, 0.35, 0.25])
    assert found.verdict == "undecided"
    assert found.low < found.effect < 1 < found.high
    assert found.remark == ""


def test_confidence_decides() -> None:
    first, second = [1.0, 1.1, 1.2], [1.15, 1.25, 1.35]
    assert verdict_of(SMOOTHER, "topolip", first, second, confidence=0.95).verdict == "undecided"
    assert verdict_of(SMOOTHER, "topolip", first, second, confidence=0.8).verdict == "holds"


@pytest.mark.parametrize(("shift", "verdict"), [(-0.1, "holds"), (0.1, "does not hold"), (0.001, "undecided")])
def test_accuracies_are_compared_by_their_difference(shift: float, verdict: str) -> None:
    claim = Claim("The ViT is less accurate.", summary="accuracy", lower="vit", higher="resnet")
    first, second = [0.80 + shift, 0.81 + shift, 0.82 + shift], [0.80, 0.81, 0.82]
    found = verdict_of(claim, "accuracy", first, second)
    assert (found.verdict, found.unit) == (verdict, "difference")
    assert found.effect == pytest.approx(shift)


def test_numbers_without_spread_are_decided_by_themselves() -> None:
    claim = Claim("The ViT is smaller.", summary="parameters", lower="vit", higher="resnet")
    smaller = verdict_of(claim, "parameters", [1000.0] * 3, [2000.0] * 3)
    assert (smaller.verdict, smaller.effect, smaller.low, smaller.high) == pytest.approx(("holds", 0.5, 0.5, 0.5))
    equal = verdict_of(claim, "parameters", [1000.0] * 3, [1000.0] * 2)
    assert (equal.verdict, equal.effect) == ("undecided", 1.0)


def test_seeds_that_agree_by_chance_decide_nothing() -> None:
    claim = Claim("The ViT is less accurate.", summary="accuracy", lower="vit", higher="resnet")
    found = verdict_of(claim, "accuracy", [0.5, 0.5], [0.525, 0.525])
    assert (found.verdict, found.remark) == (
        "undecided",
        "the seeds of each model agree, so there is no spread to judge by",
    )


@pytest.mark.parametrize(
    ("first", "second", "remark"),
    [
        ([0.1], [0.3, 0.31], "there are fewer than 2 runs of vit"),
        ([0.1, 0.2], [], "there is no run of resnet"),
        ([0.1, 0.2], [math.nan, math.nan], "topolip was not measured for resnet; 2 runs without the value left out"),
        ([0.1, 0.0], [0.3, 0.31], "topolip of vit is not positive in every run, so there is no ratio"),
    ],
)
def test_what_cannot_be_compared_is_undecided_and_says_why(
    first: list[float], second: list[float], remark: str
) -> None:
    found = verdict_of(SMOOTHER, "topolip", first, second)
    assert (found.verdict, found.remark) == ("undecided", remark)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_an_infinite_bound_decides_nothing() -> None:
    claim = Claim("The ViT has the lower bound.", summary="lipschitz_bound", lower="resnet", higher="vit")
    found = verdict_of(claim, "lipschitz_bound", [10.0, 11.0], [math.inf, 12.0])
    assert (found.verdict, found.remark) == ("undecided", "lipschitz_bound of vit is infinite in 1 run")


def test_a_run_without_the_value_is_left_out_and_named() -> None:
    found = verdict_of(SMOOTHER, "topolip", [0.10, 0.11, math.nan], [0.30, 0.31, 0.32])
    assert (found.verdict, found.runs) == ("holds", 5)
    assert found.first == "vit 0.105 ± 0.0071 (2 seeds)"
    assert found.remark == "1 run without the value left out"


def test_chance_alone_decides_no_more_often_than_the_level_allows() -> None:
    generator = np.random.default_rng(0)
    values = {
        (f"data {number}", model): generator.lognormal(0.0, 0.2, 3).tolist()
        for number in range(400)
        for model in ("vit", "resnet")
    }
    found = judge([SMOOTHER], Results(rows_of("topolip", values)))
    assert np.mean([verdict.verdict != "undecided" for verdict in found]) <= 0.06


@pytest.mark.parametrize(("sign", "verdict"), [("positive", "holds"), ("negative", "does not hold")])
def test_a_correlation_holds_on_the_claimed_side(sign: Any, verdict: str) -> None:
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [1.0, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0]
    found = correlated(x, y, Claim("They go together.", correlation=("topolip", "speed_mean"), sign=sign))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(spearmanr(x, y).statistic)
    assert 0 < found.low < found.effect < found.high
    assert (found.unit, found.runs, found.models) == ("rho", 7, 7)
    assert found.first == "topolip 4 ± 2.2 (7 models)"
    assert found.remark == ""


def test_a_correlation_with_an_interval_that_includes_zero_is_undecided() -> None:
    found = correlated([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0])
    assert (found.verdict, found.remark) == ("undecided", "")
    assert found.low < 0 < found.effect < found.high


def test_turning_one_side_around_turns_the_correlation_around() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [1.0, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0]
    claim = Claim("They oppose.", correlation=("topolip", "speed_mean"), sign="negative")
    there, back = correlated(x, y), correlated(x, [1 / value for value in y], claim)
    assert (there.verdict, back.verdict) == ("holds", "holds")
    assert (back.effect, back.low, back.high) == pytest.approx((-there.effect, -there.high, -there.low))


@pytest.mark.parametrize(
    ("x", "y", "remark"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "there are fewer than 4 models"),
        ([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], "every model has the same topolip"),
        ([1.0], [math.nan], "topolip and speed_mean were not measured in the same runs; 1 run"),
    ],
)
def test_an_open_correlation_says_why(x: list[float], y: list[float], remark: str) -> None:
    found = correlated(x, y)
    assert found.verdict == "undecided"
    assert found.remark.startswith(remark)


def test_every_claim_meets_every_data_set() -> None:
    values = {(data, model): [1.0, 2.0, 3.0] for data in ("digits", "images") for model in ("vit", "resnet")}
    found = judge([TOGETHER, SMOOTHER], Results(rows_of("topolip", values) + rows_of("speed_mean", values)))
    assert [(verdict.claim, verdict.data, verdict.runs, verdict.models) for verdict in found] == [
        (TOGETHER, "digits", 6, 2),
        (TOGETHER, "images", 6, 2),
        (SMOOTHER, "digits", 6, 2),
        (SMOOTHER, "images", 6, 2),
    ]


def test_seeds_do_not_make_a_correlation() -> None:
    generator = np.random.default_rng(0)
    decided = []
    for number in range(300):
        levels = generator.normal(size=(2, 6, 1)) + 0.3 * generator.normal(size=(2, 6, 5))
        x, y = ({("digits", f"model {k}"): side[k].tolist() for k in range(6)} for side in np.exp(levels))
        [found] = judge([TOGETHER], Results(rows_of("topolip", x) + rows_of("speed_mean", y)))
        assert (found.runs, found.models) == (30, 6)
        decided.append(found.verdict != "undecided")
        if number == 0:
            means = [[np.mean(values) for values in side.values()] for side in (x, y)]
            assert found.effect == pytest.approx(spearmanr(*means).statistic)
    assert np.mean(decided) <= 0.09


def test_a_mean_over_training_decides_nothing_between_trainings_of_different_length() -> None:
    def run(model: str, seed: int, drifts: list[float]) -> list[Row]:
        return [
            Row("digits", model, seed, epoch, "epoch_drift", "scaled W2", "blocks.0", "", 0.0, drift + 0.01 * seed)
            for epoch, drift in enumerate(drifts, start=1)
        ]

    course = [0.8, 0.4, 0.2, 0.1, 0.1]
    rows = [row for seed in (0, 1, 2) for row in run("long", seed, course)]
    rows += [row for seed in (0, 1, 2) for row in run("short", seed, course[:2])]
    rows += [row for seed in (0, 1, 2) for row in run("other", seed, [2 * drift for drift in course])]
    uneven, even = (
        Claim("Steadier.", summary="epoch_drift", lower="long", higher=other) for other in ("short", "other")
    )
    undecided, decided = judge([uneven, even], Results(rows))
    assert undecided.verdict == "undecided"
    assert undecided.remark == "trained for 5 and 2 epochs, so an epoch is not the same part of both trainings"
    assert undecided.high < 1
    assert (decided.verdict, decided.remark) == ("holds", "")


def test_no_claims_and_no_runs_give_no_verdicts() -> None:
    assert judge([SMOOTHER], Results([])) == []
    assert judge([], Results(rows_of("topolip", {("digits", "vit"): [1.0]}))) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"says": " "}, "`says` must be the claim in words"),
        ({}, "either `summary`, `lower` and `higher`, or `correlation`, got neither"),
        ({"lower": "a", "correlation": ("topolip", "accuracy")}, "got both"),
        ({"summary": "topolip", "lower": "a"}, "lacks `higher`"),
        ({"lower": "a"}, "lacks `summary` and `higher`"),
        ({"summary": "topolib", "lower": "a", "higher": "b"}, "got 'topolib'; did you mean 'topolip'"),
        ({"summary": "???", "lower": "a", "higher": "b"}, r"take one of \['accuracy', 'attack_drop'"),
        ({"summary": "topolip", "lower": "a", "higher": "a"}, "must be different models, got 'a' twice"),
        ({"summary": "topolip", "lower": "a", "higher": "b", "sign": "negative"}, "swap the models"),
        ({"correlation": ("topolip", "acuracy")}, "`correlation` must name a summary, got 'acuracy'"),
        ({"correlation": ("topolip", "topolip")}, "two different names"),
        ({"correlation": ("topolip",)}, "two different names"),
        ({"correlation": "ab"}, "two different names"),
        ({"correlation": ("topolip", "accuracy"), "sign": "up"}, r"`sign` must be one of .* got 'up'"),
    ],
)
def test_a_claim_that_makes_no_sense_raises(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Claim(**{"says": "Something.", **arguments})


def test_claims_survive_json() -> None:
    claims = [SMOOTHER, TOGETHER, Claim("So it is.", correlation=("parameters", "topolip"), sign="negative")]
    assert claims_of(json.loads(json.dumps([asdict(claim) for claim in claims]))) == claims


@pytest.mark.parametrize("entry", [{"summary": "topolip"}, {"says": "So.", "higer": "a"}, "So it is."])
def test_entries_that_are_no_claims_raise(entry: Any) -> None:
    with pytest.raises(ValueError, match="Every entry of `claims` must have `says`"):
        claims_of([entry])


def test_claims_are_read_from_yaml_by_jsonargparse() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--claims", type=list[Claim])
    parsed = parser.parse_string(
        "claims:\n"
        "  - {says: The ViT is smoother., summary: topolip, lower: vit, higher: resnet}\n"
        "  - says: They go together.\n"
        "    correlation: [topolip, speed_mean]\n"
    )
    assert parser.instantiate_classes(parsed).claims == [SMOOTHER, TOGETHER]
