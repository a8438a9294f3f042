"""Verdicts on the claims of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightning_topolip.study.judging.averages import model_means
from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.statistics import mean_difference, mean_ratio, spearman, spread
from lightning_topolip.study.judging.summaries import SUMMARIES, RunKey, run_summaries

Outcome = Literal["holds", "does not hold", "undecided"]
Side = Literal["below", "above"]
Runs = Mapping[RunKey, Mapping[str, float]]

_NEUTRAL = {"ratio": 1.0, "difference": 0.0, "rho": 0.0}
_FEWEST_MODELS = 4


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim on one data set.

    Attributes:
        claim: The claim.
        data: Label of the data set.
        verdict: ``"holds"`` or ``"does not hold"`` if the whole interval lies on one side, else ``"undecided"``.
        effect: Claimed lower model / higher model, or lower - higher, or the rank correlation.
        low: Lower limit of the confidence interval; NaN if there is none.
        high: Upper limit of the confidence interval; NaN if there is none.
        unit: Kind of the effect.
        first: Mean, standard deviation and count of the claimed lower model, or of the first number of a correlation.
        second: The same for the other side.
        runs: Number of runs used.
        models: Number of models used.
        remark: Why the claim is undecided, and how many runs were skipped; empty if there is nothing to add.
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
    of the means. A mean over training decides nothing between models that were trained for different numbers of epochs,
    because an epoch is then a different part of the training.
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
        ('holds', 0.354, 'vit 0.11 ± 0.01 (3 seeds)')
    """
    groups: dict[str, dict[RunKey, dict[str, float]]] = {}
    for key, numbers in run_summaries(results).items():
        groups.setdefault(key.data, {})[key] = numbers
    return [
        _compare(claim, data, runs, results, confidence)
        if claim.correlation is None
        else _correlate(claim, claim.correlation, data, runs, confidence)
        for claim in claims
        for data, runs in groups.items()
    ]


def _compare(claim: Claim, data: str, runs: Runs, results: Results, confidence: float) -> Verdict:
    summary = SUMMARIES[claim.summary]
    first, second = (_numbers_of(model, claim.summary, runs) for model in (claim.lower, claim.higher))
    estimate = mean_ratio if summary.comparison == "ratio" else mean_difference
    effect, low, high = estimate(first, second, confidence)
    obstacle = (
        _obstacle(claim.lower, claim.summary, first)
        or _obstacle(claim.higher, claim.summary, second)
        or ("" if summary.exact or low < high else "all seeds of each model agree, so their spread is unknown")
        or (_obstacle_of_training(claim, results.where(data=data)) if summary.over_training else "")
    )
    used = _count(first) + _count(second)
    return Verdict(
        claim=claim,
        data=data,
        verdict="undecided" if obstacle else _outcome(low, high, _NEUTRAL[summary.comparison], "below"),
        effect=effect,
        low=low,
        high=high,
        unit=summary.comparison,
        first=_describe(claim.lower, first, "seed"),
        second=_describe(claim.higher, second, "seed"),
        runs=used,
        models=sum(_count(values) > 0 for values in (first, second)),
        remark=_join(obstacle, _skipped_runs(len(first) + len(second) - used)),
    )


def _correlate(claim: Claim, pair: tuple[str, str], data: str, runs: Runs, confidence: float) -> Verdict:
    means = model_means(runs, pair)
    first, second = ([values[side] for values in means.values()] for side in (0, 1))
    correlation = spearman(first, second, confidence)
    used = sum(not any(math.isnan(numbers[name]) for name in pair) for numbers in runs.values())
    obstacle = _obstacle_of_correlation(pair, first, second)
    claimed: Side = "above" if claim.sign == "positive" else "below"
    return Verdict(
        claim=claim,
        data=data,
        verdict="undecided" if obstacle else _outcome(correlation.low, correlation.high, _NEUTRAL["rho"], claimed),
        effect=correlation.rho if correlation.pairs >= _FEWEST_MODELS else math.nan,
        low=correlation.low,
        high=correlation.high,
        unit="rho",
        first=_describe(pair[0], first, "model"),
        second=_describe(pair[1], second, "model"),
        runs=used,
        models=correlation.pairs,
        remark=_join(obstacle, _skipped_runs(len(runs) - used)),
    )


def _numbers_of(model: str, summary: str, runs: Runs) -> list[float]:
    return [numbers[summary] for key, numbers in runs.items() if key.model == model]


def _outcome(low: float, high: float, neutral: float, claimed: Side) -> Outcome:
    if not (high < neutral or low > neutral):
        return "undecided"
    return "holds" if (high < neutral) == (claimed == "below") else "does not hold"


def _obstacle(model: str, summary: str, values: Sequence[float]) -> str:
    measured = [value for value in values if not math.isnan(value)]
    if not values:
        return f"there is no run of {model}"
    if not measured:
        return f"{summary} was not measured for {model}"
    if not np.isfinite(measured).all():
        return f"{summary} of {model} is infinite in {counted(int(np.isinf(measured).sum()), 'run')}"
    if SUMMARIES[summary].comparison == "ratio" and min(measured) <= 0:
        return f"{summary} of {model} is not positive in every run, so the ratio is undefined"
    return f"there are fewer than 2 runs of {model}" if len(measured) < 2 else ""


def _obstacle_of_training(claim: Claim, results: Results) -> str:
    trained = [max(results.where(model=model).unique("epoch"), default=0.0) for model in (claim.lower, claim.higher)]
    if trained[0] == trained[1]:
        return ""
    return f"trained for {trained[0]:g} and {trained[1]:g} epochs, so an epoch is not the same part of both trainings"


def _obstacle_of_correlation(pair: tuple[str, str], first: Sequence[float], second: Sequence[float]) -> str:
    if not first:
        return f"{pair[0]} and {pair[1]} were not measured in the same runs"
    if len(first) < _FEWEST_MODELS:
        return f"there are fewer than {_FEWEST_MODELS} models"
    constant = [name for name, values in zip(pair, (first, second), strict=True) if len(set(values)) == 1]
    return f"every model has the same {' and '.join(constant)}" if constant else ""


def _describe(name: str, values: Sequence[float], noun: str) -> str:
    mean, deviation, size = spread(values)
    if size == 0:
        return f"{name} not measured"
    around = "" if math.isnan(deviation) else f" ± {_rounded(deviation, 2)}"
    return f"{name} {_rounded(mean, 3)}{around} ({counted(size, noun)})"


def _rounded(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):g}"


def _count(values: Sequence[float]) -> int:
    return sum(not math.isnan(value) for value in values)


def counted(count: int, noun: str) -> str:
    """Write a count with its noun, such as ``"1 run"`` or ``"6 runs"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _skipped_runs(count: int) -> str:
    return f"skipped {counted(count, 'run')} without a value" if count else ""


def _join(*remarks: str) -> str:
    return "; ".join(remark for remark in remarks if remark)
