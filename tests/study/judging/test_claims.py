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
from lightning_topolip.study.judging.verdicts import NOT_ASKED, Verdict, judge

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
    [verdict] = judge([claim], Results(rows_of(quantity, values)), **options)
    return verdict


def correlated(x: list[float], y: list[float], claim: Claim = TOGETHER) -> Verdict:
    """One model per value."""
    first, second = ({("digits", f"model {k}"): [value] for k, value in enumerate(side)} for side in (x, y))
    rows = rows_of("topolip", first) + rows_of("speed_mean", second)
    [verdict] = judge([claim], Results(rows))
    return verdict


def test_a_ratio_with_its_interval_below_one_holds() -> None:
    first, second = [0.10, 0.11, 0.12], [0.30, 0.31, 0.35]
    verdict = verdict_of(SMOOTHER, "topolip", first, second)
    expected = ttest_ind(np.log(first), np.log(second), equal_var=False).confidence_interval(0.95)
    assert (verdict.verdict, verdict.unit, verdict.runs, verdict.data) == ("holds", "ratio", 6, "digits")
    assert (verdict.low, verdict.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert verdict.first == "vit 0.11 ± 0.01 over 3 seeds"
    assert verdict.second == "resnet 0.32 ± 0.026 over 3 seeds"
    assert verdict.remark == ""


def test_swapping_the_models_reverses_the_verdict() -> None:
    first, second = [0.10, 0.11, 0.12], [0.30, 0.31, 0.35]
    there, back = verdict_of(SMOOTHER, "topolip", first, second), verdict_of(SMOOTHER, "topolip", second, first)
    assert (there.verdict, back.verdict) == ("holds", "does not hold")
    assert (back.effect, back.low, back.high) == pytest.approx((1 / there.effect, 1 / there.high, 1 / there.low))


def test_an_interval_that_includes_one_is_undecided() -> None:
    verdict = verdict_of(SMOOTHER, "topolip", [0.1, 0.3, 0.2], [0.15, 0.35, 0.25])
    assert verdict.verdict == "undecided"
    assert verdict.low < verdict.effect < 1 < verdict.high
    assert verdict.remark == ""


def test_confidence_decides() -> None:
    first, second = [1.0, 1.1, 1.2], [1.15, 1.25, 1.35]
    assert verdict_of(SMOOTHER, "topolip", first, second, confidence=0.95).verdict == "undecided"
    assert verdict_of(SMOOTHER, "topolip", first, second, confidence=0.8).verdict == "holds"


@pytest.mark.parametrize(("shift", "expected"), [(-0.1, "holds"), (0.1, "does not hold"), (0.001, "undecided")])
def test_accuracies_are_compared_by_their_difference(shift: float, expected: str) -> None:
    claim = Claim("The ViT is less accurate.", summary="accuracy", lower="vit", higher="resnet")
    first, second = [0.80 + shift, 0.81 + shift, 0.82 + shift], [0.80, 0.81, 0.82]
    verdict = verdict_of(claim, "accuracy", first, second)
    assert (verdict.verdict, verdict.unit) == (expected, "difference")
    assert verdict.effect == pytest.approx(shift)


def test_numbers_that_do_not_depend_on_the_seed_are_decisive() -> None:
    claim = Claim("The ViT is smaller.", summary="parameters", lower="vit", higher="resnet")
    smaller = verdict_of(claim, "parameters", [1000.0] * 3, [2000.0] * 3)
    assert (smaller.verdict, smaller.effect, smaller.low, smaller.high) == pytest.approx(("holds", 0.5, 0.5, 0.5))
    equal = verdict_of(claim, "parameters", [1000.0] * 3, [1000.0] * 2)
    assert (equal.verdict, equal.effect) == ("undecided", 1.0)


def test_seeds_that_agree_by_chance_decide_nothing() -> None:
    claim = Claim("The ViT is less accurate.", summary="accuracy", lower="vit", higher="resnet")
    verdict = verdict_of(claim, "accuracy", [0.5, 0.5], [0.525, 0.525])
    assert (verdict.verdict, verdict.remark) == (
        NOT_ASKED,
        "all seeds of each model agree, so their spread is unknown",
    )


@pytest.mark.parametrize(
    ("first", "second", "remark"),
    [
        ([0.1], [0.3, 0.31], "there are fewer than 2 runs of vit"),
        ([0.1, 0.2], [], "there is no run of resnet"),
        ([0.1, 0.2], [math.nan, math.nan], "TopoLip was not measured for resnet; skipped 2 runs without a value"),
        ([0.1, 0.0], [0.3, 0.31], "TopoLip of vit is not positive in every run, so the ratio is undefined"),
    ],
)
def test_an_impossible_comparison_is_not_asked_with_a_reason(
    first: list[float], second: list[float], remark: str
) -> None:
    verdict = verdict_of(SMOOTHER, "topolip", first, second)
    assert (verdict.verdict, verdict.remark) == (NOT_ASKED, remark)
    assert math.isnan(verdict.low)
    assert math.isnan(verdict.high)


def test_an_infinite_bound_decides_nothing() -> None:
    claim = Claim("The ViT has the lower bound.", summary="lipschitz_bound", lower="resnet", higher="vit")
    verdict = verdict_of(claim, "lipschitz_bound", [10.0, 11.0], [math.inf, 12.0])
    assert (verdict.verdict, verdict.remark) == (
        NOT_ASKED,
        "Lipschitz constant (upper bound) of vit is infinite in 1 run",
    )


def test_a_run_without_a_value_is_skipped_with_a_remark() -> None:
    verdict = verdict_of(SMOOTHER, "topolip", [0.10, 0.11, math.nan], [0.30, 0.31, 0.32])
    assert (verdict.verdict, verdict.runs) == ("holds", 5)
    assert verdict.first == "vit 0.105 ± 0.0071 over 2 seeds"
    assert verdict.remark == "skipped 1 run without a value"


def test_chance_alone_decides_no_more_often_than_the_level_allows() -> None:
    generator = np.random.default_rng(0)
    values = {
        (f"data {number}", model): generator.lognormal(0.0, 0.2, 3).tolist()
        for number in range(400)
        for model in ("vit", "resnet")
    }
    verdicts = judge([SMOOTHER], Results(rows_of("topolip", values)))
    assert np.mean([verdict.verdict != "undecided" for verdict in verdicts]) <= 0.06


@pytest.mark.parametrize(("sign", "expected"), [("positive", "holds"), ("negative", "does not hold")])
def test_a_correlation_holds_on_the_claimed_side(sign: Any, expected: str) -> None:
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [1.0, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0]
    verdict = correlated(x, y, Claim("They go together.", correlation=("topolip", "speed_mean"), sign=sign))
    assert verdict.verdict == expected
    assert verdict.effect == pytest.approx(spearmanr(x, y).statistic)
    assert 0 < verdict.low < verdict.effect < verdict.high
    assert (verdict.unit, verdict.runs, verdict.models) == ("rho", 7, 7)
    assert verdict.first == "TopoLip 4 ± 2.2 over 7 models"
    assert verdict.remark == ""


def test_a_correlation_with_an_interval_that_includes_zero_is_undecided() -> None:
    verdict = correlated([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0])
    assert (verdict.verdict, verdict.remark) == ("undecided", "")
    assert verdict.low < 0 < verdict.effect < verdict.high


def test_reversing_one_side_reverses_the_correlation() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [1.0, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0]
    claim = Claim("They oppose.", correlation=("topolip", "speed_mean"), sign="negative")
    there, back = correlated(x, y), correlated(x, [1 / value for value in y], claim)
    assert (there.verdict, back.verdict) == ("holds", "holds")
    assert (back.effect, back.low, back.high) == pytest.approx((-there.effect, -there.high, -there.low))


@pytest.mark.parametrize(
    ("x", "y", "remark"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "there are fewer than 4 models"),
        ([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], "every model has the same TopoLip"),
        ([1.0], [math.nan], "TopoLip and mean speed were not measured in the same runs; skipped 1 run"),
    ],
)
def test_an_impossible_correlation_is_not_asked_with_a_reason(x: list[float], y: list[float], remark: str) -> None:
    verdict = correlated(x, y)
    assert verdict.verdict == NOT_ASKED
    assert verdict.remark.startswith(remark)


def test_every_claim_is_tested_on_every_data_set() -> None:
    values = {(data, model): [1.0, 2.0, 3.0] for data in ("digits", "images") for model in ("vit", "resnet")}
    verdicts = judge([TOGETHER, SMOOTHER], Results(rows_of("topolip", values) + rows_of("speed_mean", values)))
    assert [(verdict.claim, verdict.data, verdict.runs, verdict.models) for verdict in verdicts] == [
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
        [verdict] = judge([TOGETHER], Results(rows_of("topolip", x) + rows_of("speed_mean", y)))
        assert (verdict.runs, verdict.models) == (30, 6)
        decided.append(verdict.verdict != "undecided")
        if number == 0:
            means = [[np.mean(values) for values in side.values()] for side in (x, y)]
            assert verdict.effect == pytest.approx(spearmanr(*means).statistic)
    assert np.mean(decided) <= 0.09


def test_a_mean_over_training_is_not_asked_of_trainings_of_different_length() -> None:
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
    not_asked, decided = judge([uneven, even], Results(rows))
    assert not_asked.verdict == NOT_ASKED
    assert not_asked.remark == "trained for 5 and 2 epochs, so an epoch is not the same part of both trainings"
    assert not_asked.high < 1
    assert (decided.verdict, decided.remark) == ("holds", "")


def with_errors(rows: list[Row], error: float) -> list[Row]:
    return [row._replace(error=error) for row in rows]


def test_the_error_of_the_probe_widens_the_interval_and_can_undo_a_verdict() -> None:
    values = {("digits", "vit"): [0.10, 0.11, 0.12], ("digits", "resnet"): [0.15, 0.16, 0.17]}
    verdicts = [
        judge([SMOOTHER], Results(with_errors(rows_of("topolip", values), error)))[0] for error in (0.0, 0.002, 0.05)
    ]
    assert [verdict.verdict for verdict in verdicts] == ["holds", "holds", "undecided"]
    assert verdicts[2].high > verdicts[0].high
    assert len({verdict.effect for verdict in verdicts}) == 1
    assert verdicts[1].first == "vit 0.11 ± 0.01 over 3 seeds, ± 0.002 on the probe"


def covering_rows(model: str, values: list[float]) -> list[Row]:
    """Covering numbers of a probe of 64 samples, at whose spacing every seed has one of the values in each layer."""
    return [
        Row("digits", model, seed, 2.0, "covering_number", variant, layer, "", radius, balls)
        for seed, value in enumerate(values)
        for layer in ("<input>", "a", "b")
        for variant, radius, balls in (
            ("", 0.1, 64.0),
            ("", 0.5, 3.0),
            ("at the spacing of the input", 0.3, 32.0 if layer == "<input>" else value),
        )
    ]


@pytest.mark.parametrize(
    ("vit", "resnet", "verdict", "remark"),
    [
        ([30.0, 31.0], [40.0, 41.0], "holds", ""),
        ([61.0, 62.0], [63.0, 64.0], NOT_ASKED, "almost each of the 64 samples needs its own ball in both models"),
        ([60.0, 60.5], [63.0, 63.5], "holds", ""),
        ([1.0, 1.0], [1.0, 1.0], NOT_ASKED, "one ball covers all samples in both models"),
        ([1.0, 1.0], [2.0, 2.1], "holds", ""),
    ],
)
def test_a_saturated_covering_number_is_not_asked(
    vit: list[float], resnet: list[float], verdict: str, remark: str
) -> None:
    claim = Claim("Fewer balls.", summary="covering_number", lower="vit", higher="resnet")
    [judged] = judge([claim], Results(covering_rows("vit", vit) + covering_rows("resnet", resnet)))
    assert (judged.verdict, judged.remark) == (verdict, remark)


def test_no_claims_and_no_runs_give_no_verdicts() -> None:
    assert judge([SMOOTHER], Results([])) == []
    assert judge([], Results(rows_of("topolip", {("digits", "vit"): [1.0]}))) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"says": " "}, "`says` must be the claim in words"),
        ({}, "either `summary`, `lower` and `higher`, or `correlation`, got neither"),
        ({"lower": "a", "correlation": ("topolip", "accuracy")}, "got both"),
        ({"summary": "topolip", "lower": "a"}, "must be given together, got the claim .* without `higher`"),
        ({"lower": "a"}, "without `summary` and `higher`"),
        ({"summary": "topolib", "lower": "a", "higher": "b"}, "got 'topolib'; did you mean 'topolip'"),
        ({"summary": "???", "lower": "a", "higher": "b"}, r"take one of \['accuracy', 'attack_drop'"),
        ({"summary": "topolip", "lower": "a", "higher": "a"}, "must be different models, got 'a' twice"),
        ({"summary": "topolip", "lower": "a", "higher": "b", "sign": "negative"}, "swap the models"),
        ({"correlation": ("topolip", "acuracy")}, "`correlation` must be the name of a summary, got 'acuracy'"),
        ({"correlation": ("topolip", "topolip")}, "two different names"),
        ({"correlation": ("topolip",)}, "two different names"),
        ({"correlation": "ab"}, "two different names"),
        ({"correlation": ("topolip", "accuracy"), "sign": "up"}, r"`sign` must be one of .* got 'up'"),
    ],
)
def test_an_invalid_claim_raises(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Claim(**{"says": "Something.", **arguments})


def test_claims_survive_json() -> None:
    claims = [SMOOTHER, TOGETHER, Claim("So it is.", correlation=("parameters", "topolip"), sign="negative")]
    assert claims_of(json.loads(json.dumps([asdict(claim) for claim in claims]))) == claims


@pytest.mark.parametrize("entry", [{"summary": "topolip"}, {"says": "So.", "higer": "a"}, "So it is."])
def test_entries_that_are_not_claims_raise(entry: Any) -> None:
    with pytest.raises(ValueError, match="`claims` must hold entries with `says`"):
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
