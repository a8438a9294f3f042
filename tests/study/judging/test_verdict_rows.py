"""Verdicts in words: in the direction of the claim, and true to the numbers of the verdict."""

import math
from dataclasses import replace
from typing import Any

import pytest

from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.effects import claimed_above, claimed_effect, effect_in_words
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.verdict_rows import tally, verdict_rows
from lightning_topolip.study.judging.verdicts import Verdict, judge

VARIANCE = Claim("The ViT has the higher variance.", summary="total_variance", lower="resnet", higher="vit")
DROP = Claim("The ViT loses less.", summary="attack_drop", lower="vit", higher="resnet")
TOGETHER = Claim("Smoothness goes with robustness.", correlation=("topolip", "attack_drop"))


def verdict(claim: Claim, unit: Any, effect: float, low: float, high: float) -> Verdict:
    return Verdict(claim, "digits", "undecided", effect, low, high, unit, "", "", 6, 2, "")


def runs(resnet: tuple[float, ...], vit: tuple[float, ...]) -> Results:
    return Results(
        Row("digits", model, seed, 1.0, "total_variance", "", "blocks.0", "", 0.0, value)
        for model, values in (("resnet", resnet), ("vit", vit))
        for seed, value in enumerate(values)
    )


@pytest.mark.parametrize(
    ("resnet", "vit", "outcome"),
    [
        ((1.0, 1.1, 1.2), (10.0, 11.0, 12.0), "holds"),
        ((10.0, 11.0, 12.0), (1.0, 1.1, 1.2), "does not hold"),
        ((1.0, 2.0, 3.0), (3.0, 1.0, 2.0), "undecided"),
    ],
)
def test_above_one_is_the_side_of_the_claim(resnet: tuple[float, ...], vit: tuple[float, ...], outcome: str) -> None:
    [judged] = judge([VARIANCE], runs(resnet, vit))
    effect, low, high = claimed_effect(judged)
    assert judged.verdict == outcome
    assert {"holds": low > 1, "does not hold": high < 1, "undecided": low < 1 < high}[outcome]
    assert effect == pytest.approx(math.prod(vit) ** (1 / 3) / math.prod(resnet) ** (1 / 3))
    assert (low, high) == pytest.approx((1 / judged.high, 1 / judged.low))


def test_a_higher_variance_reads_forwards() -> None:
    [row] = verdict_rows([VARIANCE], runs((1.0, 1.1, 1.2), (9.7, 11.0, 12.0)))
    assert row.effect.startswith("total variance: vit / resnet = 9.")
    assert row.effect.endswith("(claimed: above 1)")
    assert row.numbers.startswith("resnet 1.1 ")


def test_shares_differ_by_points() -> None:
    words = effect_in_words(verdict(DROP, "difference", 0.0731, 0.0204, 0.126))
    assert words == (
        "accuracy lost to attacks: resnet \N{MINUS SIGN} vit = \N{MINUS SIGN}7.31 points, 95 % interval "
        "\N{MINUS SIGN}12.6 to \N{MINUS SIGN}2.04 (claimed: above 0)"
    )


def test_a_correlation_keeps_its_sign_and_says_what_was_claimed() -> None:
    positive = verdict(TOGETHER, "rho", 0.5, -0.25, 1.0)
    negative = replace(positive, claim=replace(TOGETHER, sign="negative"))
    assert tuple(claimed_effect(positive)) == tuple(claimed_effect(negative)) == (0.5, -0.25, 1.0)
    assert (claimed_above(positive), claimed_above(negative)) == (True, False)
    assert "of TopoLip and accuracy lost to attacks = 0.500" in effect_in_words(positive)
    assert effect_in_words(negative).endswith("(claimed: below 0)")


@pytest.mark.parametrize("low", [0.9996, 1.0004, 1.0000003])
def test_a_limit_close_to_no_effect_shows_its_side(low: float) -> None:
    words = effect_in_words(verdict(VARIANCE, "ratio", 0.5, 0.25, 1 / low))
    written = float(words.split("interval ")[1].split(" to ")[0])
    assert written == pytest.approx(low, rel=1e-3)
    assert (written > 1) == (low > 1)


def test_infinite_and_missing_numbers_are_said() -> None:
    assert claimed_effect(verdict(VARIANCE, "ratio", 2.0, 0.0, math.inf)) == (0.5, 0.0, math.inf)
    assert effect_in_words(verdict(VARIANCE, "ratio", math.nan, math.nan, math.nan)).endswith(": unknown")
    assert effect_in_words(verdict(VARIANCE, "ratio", 0.5, math.nan, math.nan)).endswith("= 2.00, no interval")


def test_what_was_not_asked_has_a_reason_and_no_effect() -> None:
    [row] = verdict_rows([VARIANCE], runs((1.0,), (10.0, 11.0)))
    assert (row.verdict, row.effect) == ("not asked of this data", "")
    assert row.remark == "there are fewer than 2 runs of resnet"


def test_the_tally_counts_every_outcome() -> None:
    outcomes: list[Any] = ["holds", "does not hold", "does not hold", "undecided", *["not asked of this data"] * 2]
    assert tally(outcomes) == (
        "Of 4 verdicts, 1 holds, 2 do not hold and 1 is undecided; 2 more were not asked of this data."
    )
    assert tally([]) == "The study makes no claims that its results can decide."
