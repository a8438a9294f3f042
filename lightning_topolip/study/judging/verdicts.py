"""What the runs of a study say of its claims."""

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

Finding = Literal["holds", "does not hold", "undecided"]
Side = Literal["below", "above"]
Runs = Mapping[RunKey, Mapping[str, float]]

_NEUTRAL = {"ratio": 1.0, "difference": 0.0, "rho": 0.0}
_FEWEST_MODELS = 4


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        claim: The claim.
        data: Label of the data set.
        verdict: ``"holds"`` or ``"does not hold"`` where the whole interval lies on one side, else ``"undecided"``.
        effect: Ratio or difference of the claimed lower model to the higher one, or the rank correlation.
        low: Lower limit of its confidence interval; NaN where there is none.
        high: Upper limit of its confidence interval; NaN where there is none.
        unit: What the effect is.
        first: The claimed lower model, or the first number of a correlation: mean, standard deviation, count.
        second: The same of the other side.
        runs: Number of runs that the verdict rests on.
        models: Number of models that these runs are of.
        remark: What stands in the way of a verdict, and which runs are missing; empty where the interval says it all.
    """

    claim: Claim
    data: str
    verdict: Finding
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
    """Hold every claim against the runs of every data set.

    A comparison takes seeds as the repetitions: Welch's interval of the ratio of the geometric means, or of the
    difference of the means. A mean over training decides nothing between models that were trained for different numbers
    of epochs, since an epoch is then a different part of the training.
    A correlation is Spearman's over the models, each the mean of its seeds, for seeds of one model resemble each other
    and are no models of their own. It controls for nothing. No level is adjusted for the number of claims.

    Args:
        claims: In the order in which they are to be answered.
        results: The table of the study.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        The verdicts, claim by claim.

    Raises:
        ValueError: If the confidence is not allowed.

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
        _compare(claim, data, own, results.where(data=data), confidence)
        if claim.correlation is None
        else _correlate(claim, claim.correlation, data, own, confidence)
        for claim in claims
        for data, own in groups.items()
    ]


def _compare(claim: Claim, data: str, runs: Runs, results: Results, confidence: float) -> Verdict:
    summary = SUMMARIES[claim.summary]
    first, second = (_numbers_of(model, claim.summary, runs) for model in (claim.lower, claim.higher))
    estimate = mean_ratio if summary.comparison == "ratio" else mean_difference
    effect, low, high = estimate(first, second, confidence)
    obstacle = (
        _obstacle(claim.lower, claim.summary, first)
        or _obstacle(claim.higher, claim.summary, second)
        or ("" if summary.exact or low < high else "the seeds of each model agree, so there is no spread to judge by")
        or (_obstacle_of_training(claim, results) if summary.over_training else "")
    )
    known = _count(first) + _count(second)
    return Verdict(
        claim=claim,
        data=data,
        verdict="undecided" if obstacle else _finding(low, high, _NEUTRAL[summary.comparison], "below"),
        effect=effect,
        low=low,
        high=high,
        unit=summary.comparison,
        first=_described(claim.lower, first, "seed"),
        second=_described(claim.higher, second, "seed"),
        runs=known,
        models=sum(_count(values) > 0 for values in (first, second)),
        remark=_joined(obstacle, _left_out(len(first) + len(second) - known)),
    )


def _correlate(claim: Claim, pair: tuple[str, str], data: str, runs: Runs, confidence: float) -> Verdict:
    means = model_means(runs, pair)
    first, second = ([values[side] for values in means.values()] for side in (0, 1))
    found = spearman(first, second, confidence)
    known = sum(not any(math.isnan(numbers[name]) for name in pair) for numbers in runs.values())
    obstacle = _obstacle_of_correlation(pair, first, second)
    claimed: Side = "above" if claim.sign == "positive" else "below"
    return Verdict(
        claim=claim,
        data=data,
        verdict="undecided" if obstacle else _finding(found.low, found.high, _NEUTRAL["rho"], claimed),
        effect=found.rho if found.count >= _FEWEST_MODELS else math.nan,
        low=found.low,
        high=found.high,
        unit="rho",
        first=_described(pair[0], first, "model"),
        second=_described(pair[1], second, "model"),
        runs=known,
        models=found.count,
        remark=_joined(obstacle, _left_out(len(runs) - known)),
    )


def _numbers_of(model: str, summary: str, runs: Runs) -> list[float]:
    return [numbers[summary] for key, numbers in runs.items() if key.model == model]


def _finding(low: float, high: float, neutral: float, claimed: Side) -> Finding:
    if not (high < neutral or low > neutral):
        return "undecided"
    return "holds" if (high < neutral) == (claimed == "below") else "does not hold"


def _obstacle(model: str, summary: str, values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not values:
        return f"there is no run of {model}"
    if not known:
        return f"{summary} was not measured for {model}"
    if not np.isfinite(known).all():
        return f"{summary} of {model} is infinite in {counted(int(np.isinf(known).sum()), 'run')}"
    if SUMMARIES[summary].comparison == "ratio" and min(known) <= 0:
        return f"{summary} of {model} is not positive in every run, so there is no ratio"
    return f"there are fewer than 2 runs of {model}" if len(known) < 2 else ""


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


def _described(name: str, values: Sequence[float], noun: str) -> str:
    found = spread(values)
    if found.size == 0:
        return f"{name} not measured"
    around = "" if math.isnan(found.deviation) else f" ± {_rounded(found.deviation, 2)}"
    return f"{name} {_rounded(found.mean, 3)}{around} ({counted(found.size, noun)})"


def _rounded(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):g}"


def _count(values: Sequence[float]) -> int:
    return sum(not math.isnan(value) for value in values)


def counted(count: int, noun: str) -> str:
    """Write how many there are of something, such as ``"1 run"`` or ``"6 runs"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _left_out(count: int) -> str:
    return f"{counted(count, 'run')} without the value left out" if count else ""


def _joined(*remarks: str) -> str:
    return "; ".join(remark for remark in remarks if remark)
