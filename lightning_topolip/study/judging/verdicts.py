"""Verdicts on the claims of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from lightning_topolip.study.judging.averages import model_means
from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.equal_accuracy import at_equal_accuracy
from lightning_topolip.study.judging.names import NAMES
from lightning_topolip.study.judging.obstacles import (
    FEWEST_MODELS,
    obstacle_of_agreement,
    obstacle_of_correlation,
    obstacle_of_model,
    obstacle_of_saturation,
    obstacle_of_training,
)
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.run_rows import RunRows
from lightning_topolip.study.judging.statistics import Side, mean_difference, mean_ratio, spearman
from lightning_topolip.study.judging.summaries import (
    COVERING_NUMBER,
    PATH_LENGTH,
    SUMMARIES,
    rows_by_run,
    run_errors,
    run_summaries,
)
from lightning_topolip.study.judging.wording import counted, described, rounded

Outcome = Literal["holds", "does not hold", "undecided", "not asked of this data"]
NOT_ASKED: Outcome = "not asked of this data"
Direction = Literal["below", "above"]

NEUTRAL = {"ratio": 1.0, "difference": 0.0, "rho": 0.0}


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim on one data set.

    Attributes:
        claim: The claim.
        data: Label of the data set.
        verdict: ``"holds"`` or ``"does not hold"`` if the whole interval lies on one side, ``"undecided"`` if it
            includes no effect, and ``"not asked of this data"`` if no interval could be had that answers the claim.
        effect: Claimed lower model / higher model, or lower - higher, or the rank correlation.
        low: Lower limit of the confidence interval; NaN if there is none.
        high: Upper limit of the confidence interval; NaN if there is none.
        unit: Kind of the effect.
        first: Mean, standard deviation, count and error on the probe of the claimed lower model, or of the first number
            of a correlation, without the error.
        second: The same for the other side.
        runs: Number of runs used.
        models: Number of models used.
        remark: Why the claim is not asked, at which accuracy paths are compared, and how many runs were skipped; empty
            if there is nothing to add.
    """

    claim: Claim
    data: str
    verdict: Outcome
    effect: float
    low: float
    high: float
    unit: Literal["ratio", "difference", "rho"]
    first: str
    second: str
    runs: int
    models: int
    remark: str


def judge(claims: Sequence[Claim], results: Results, confidence: float = 0.95) -> list[Verdict]:
    """Test every claim on every data set, claim by claim.

    A comparison treats seeds as repetitions: Welch's interval of the ratio of the geometric means, or of the difference
    of the means, widened by the errors of the probe, which all seeds share. Path lengths, and the numbers of claims
    of ``"equal accuracy"``, are those where both models have the same validation accuracy, see `at_equal_accuracy`. A
    mean over training is not compared between models that were trained for different numbers of epochs, because an
    epoch is then a different part of the training.
    A correlation is Spearman's over the models, each the mean of its seeds, because the seeds of one model are not
    independent. It controls for nothing. The level is not adjusted for the number of claims.

    Example:
        >>> from lightning_topolip.study.judging.results import Row
        >>> values = {"vit": (0.10, 0.11, 0.12), "resnet": (0.30, 0.31, 0.32)}
        >>> rows = [
        ...     Row("digits", model, seed, 1.0, "topolip", "scaled W2", "", "", 0.0, value)
        ...     for model, seeds in values.items()
        ...     for seed, value in enumerate(seeds)
        ... ]
        >>> claim = Claim("The ViT is smoother.", summary="topolip", lower="vit", higher="resnet")
        >>> [verdict] = judge([claim], Results(rows))
        >>> verdict.verdict, round(verdict.effect, 3), verdict.first
        ('holds', 0.354, 'vit 0.11 ± 0.01 over 3 seeds')
    """
    measured = [_Measured(data, results.where(data=data)) for data in results.unique("data")]
    return [
        _compare(claim, runs, confidence)
        if claim.correlation is None
        else _correlate(claim, claim.correlation, runs, confidence)
        for claim in claims
        for runs in measured
    ]


class _Measured:
    """The runs on one data set."""

    def __init__(self, data: str, results: Results) -> None:
        self.data, self.results = data, results
        self.rows, self.numbers, self.errors = rows_by_run(results), run_summaries(results), run_errors(results)

    def before_training(self) -> _Measured:
        """The same runs as their first snapshots see them."""
        return _Measured(self.data, self.results.where(epoch=0.0))

    def side(self, model: str, summary: str) -> Side:
        """The numbers of a model, one per run."""
        values, errors = (
            [of_runs[key][summary] for key in of_runs if key.model == model] for of_runs in (self.numbers, self.errors)
        )
        return Side(values, errors)

    def rows_of(self, model: str) -> list[RunRows]:
        """The rows of a model, by run."""
        return [rows for key, rows in self.rows.items() if key.model == model]


@dataclass(frozen=True)
class _Comparison:
    """The numbers of two models, and what there is to say about them."""

    lower: Side
    higher: Side
    obstacle: str = ""
    remark: str = ""


def _compare(claim: Claim, measured: _Measured, confidence: float) -> Verdict:
    summary = SUMMARIES[claim.summary]
    at_equal = claim.when == "equal accuracy" or summary.at_equal_accuracy
    measured = measured.before_training() if claim.when == "start" else measured
    compared = _at_equal_accuracy(claim, measured) if at_equal else _summarised(claim, measured)
    (first, first_errors), (second, second_errors) = compared.lower, compared.higher
    estimate = mean_ratio if summary.comparison == "ratio" else mean_difference
    effect, low, high = estimate(first, second, confidence, first_errors, second_errors)
    used, runs = _count(first) + _count(second), len(first) + len(second)
    return Verdict(
        claim=claim,
        data=measured.data,
        verdict=NOT_ASKED if compared.obstacle else _outcome(low, high, NEUTRAL[summary.comparison], "below"),
        effect=effect,
        low=low,
        high=high,
        unit=summary.comparison,
        first=described(claim.lower, first, "seed", first_errors),
        second=described(claim.higher, second, "seed", second_errors),
        runs=used,
        models=sum(_count(values) > 0 for values in (first, second)),
        remark=_join(
            compared.obstacle,
            "before training" if claim.when == "start" else "",
            compared.remark,
            _skipped_runs(runs - used),
        ),
    )


def _summarised(claim: Claim, measured: _Measured) -> _Comparison:
    lower, higher = (measured.side(model, claim.summary) for model in (claim.lower, claim.higher))
    obstacle = (
        _obstacle_of_models(claim, lower, higher)
        or (obstacle_of_saturation(claim, measured.results) if claim.summary == COVERING_NUMBER else "")
        or obstacle_of_agreement(claim.summary, lower.values, higher.values)
        or (obstacle_of_training(claim, measured.results) if SUMMARIES[claim.summary].over_training else "")
    )
    return _Comparison(lower, higher, obstacle)


def _at_equal_accuracy(claim: Claim, measured: _Measured) -> _Comparison:
    equal = at_equal_accuracy(claim.summary, measured.rows_of(claim.lower), measured.rows_of(claim.higher))
    obstacle = (
        equal.obstacle
        or _obstacle_of_models(claim, equal.first, equal.second)
        or obstacle_of_agreement(claim.summary, equal.first.values, equal.second.values)
    )
    if obstacle:
        return _Comparison(equal.first, equal.second, obstacle)
    short = f", which {counted(equal.short, 'run')} did not reach" if equal.short else ""
    until = "until" if claim.summary == PATH_LENGTH else "where"
    remark = f"{until} the validation accuracy is {rounded(equal.level, 3)}{short}"
    return _Comparison(equal.first, equal.second, remark=remark)


def _obstacle_of_models(claim: Claim, lower: Side, higher: Side) -> str:
    return obstacle_of_model(claim.lower, claim.summary, lower.values) or obstacle_of_model(
        claim.higher, claim.summary, higher.values
    )


def _correlate(claim: Claim, pair: tuple[str, str], measured: _Measured, confidence: float) -> Verdict:
    runs = {key: numbers for key, numbers in measured.numbers.items() if fnmatchcase(key.model, claim.among)}
    means = model_means(runs, pair)
    first, second = ([values[side] for values in means.values()] for side in (0, 1))
    correlation = spearman(first, second, confidence)
    used = sum(not any(math.isnan(of_run[name]) for name in pair) for of_run in runs.values())
    obstacle = obstacle_of_correlation(pair, first, second)
    claimed: Direction = "above" if claim.sign == "positive" else "below"
    return Verdict(
        claim=claim,
        data=measured.data,
        verdict=NOT_ASKED if obstacle else _outcome(correlation.low, correlation.high, NEUTRAL["rho"], claimed),
        effect=correlation.rho if correlation.pairs >= FEWEST_MODELS else math.nan,
        low=correlation.low,
        high=correlation.high,
        unit="rho",
        first=described(NAMES[pair[0]], first, "model"),
        second=described(NAMES[pair[1]], second, "model"),
        runs=used,
        models=correlation.pairs,
        remark=_join(obstacle, _skipped_runs(len(runs) - used)),
    )


def _outcome(low: float, high: float, neutral: float, claimed: Direction) -> Outcome:
    if not (high < neutral or low > neutral):
        return "undecided"
    return "holds" if (high < neutral) == (claimed == "below") else "does not hold"


def _count(values: Sequence[float]) -> int:
    return sum(not math.isnan(value) for value in values)


def _skipped_runs(count: int) -> str:
    return f"skipped {counted(count, 'run')} without a value" if count else ""


def _join(*remarks: str) -> str:
    return "; ".join(remark for remark in remarks if remark)
