"""What a study is held against: claims in words, and the verdict of the runs on each."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from lightning_topolip.study.results import Results
from lightning_topolip.study.statistics import mean_difference, mean_ratio, spearman, spread
from lightning_topolip.study.summaries import SUMMARIES, RunKey, run_summaries

Sign = Literal["positive", "negative"]
Finding = Literal["holds", "does not hold", "undecided"]
Side = Literal["below", "above"]
Runs = Mapping[RunKey, Mapping[str, float]]

ALL_DATA = "all"
_NEUTRAL = {"ratio": 1.0, "difference": 0.0, "rho": 0.0}
_FEWEST_PAIRS = 4


@dataclass(frozen=True)
class Claim:
    """A sentence that runs can bear out or contradict: a comparison of two models, or a correlation over all runs.

    Attributes:
        says: The claim in words.
        summary: For a comparison, the number compared, out of `SUMMARIES`.
        lower: For a comparison, label of the model claimed to have the lower value.
        higher: For a comparison, label of the model claimed to have the higher value.
        correlation: For a correlation, two names out of `SUMMARIES`.
        sign: For a correlation, the claimed sign.
        source: Where it comes from.

    Raises:
        ValueError: If it is neither a whole comparison nor a correlation, or both, or names an unknown number.

    Example:
        >>> claim = Claim("Attention is smoother.", summary="topolip", lower="vit", higher="resnet")
        >>> Claim("Smoothness goes with robustness.", correlation=("topolip", "corruption_drop")).sign
        'positive'
    """

    says: str
    summary: str = ""
    lower: str = ""
    higher: str = ""
    correlation: tuple[str, str] | None = None
    sign: Sign = "positive"
    source: str = ""

    def __post_init__(self) -> None:
        """Check that it is one of the two kinds."""
        if not self.says.strip():
            raise ValueError("Argument `says` must be the claim in words, got nothing.")
        if self.sign not in get_args(Sign):
            raise ValueError(f"Argument `sign` must be one of {get_args(Sign)}, got {self.sign!r}.")
        comparison = {"summary": self.summary, "lower": self.lower, "higher": self.higher}
        given = [name for name, value in comparison.items() if value]
        if bool(given) == (self.correlation is not None):
            raise ValueError(
                f"Claim {self.says!r} must have either `summary`, `lower` and `higher`, or `correlation`, "
                f"got {'both' if given else 'neither'}."
            )
        if self.correlation is None:
            self._check_comparison([name for name, value in comparison.items() if not value])
        else:
            self._check_correlation()

    def _check_comparison(self, missing: list[str]) -> None:
        if missing:
            raise ValueError(
                f"Claim {self.says!r} compares two models and lacks {' and '.join(f'`{name}`' for name in missing)}."
            )
        _check_summary("summary", self.summary)
        if self.lower == self.higher:
            raise ValueError(
                f"Arguments `lower` and `higher` must be different models, got {self.lower!r} twice in {self.says!r}."
            )
        if self.sign != "positive":
            raise ValueError(f"Argument `sign` belongs to a correlation, got it in {self.says!r}; swap the models.")

    def _check_correlation(self) -> None:
        pair = self.correlation
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"Argument `correlation` must be two different names of summaries, got {pair!r}.")
        for name in pair:
            _check_summary("correlation", name)
        object.__setattr__(self, "correlation", tuple(pair))


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        claim: The claim.
        data: Label of the data set; ``"all"`` for a correlation over the runs of all of them.
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


def claims_of(found: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Read claims back from plain values, as in ``about.json``.

    Args:
        found: One mapping a claim, with the fields of `Claim`.

    Returns:
        The claims.

    Raises:
        ValueError: If an entry is not a mapping, has another field, or is not allowed.

    Example:
        >>> claims_of([{"says": "Small is smooth.", "correlation": ["parameters", "topolip"]}])[0].correlation
        ('parameters', 'topolip')
    """
    names = {field.name for field in fields(Claim)}
    for entry in found:
        if not isinstance(entry, Mapping) or "says" not in entry or set(entry) - names:
            raise ValueError(
                f"Every entry of `claims` must have `says` and else only {sorted(names - {'says'})}, got {entry!r}."
            )
    return [Claim(**entry) for entry in found]


def judge(claims: Sequence[Claim], results: Results, confidence: float = 0.95) -> list[Verdict]:
    """Hold every claim against the runs of every data set.

    A comparison takes seeds as the repetitions: Welch's interval of the ratio of the geometric means, or of the
    difference of the means. A correlation is Spearman's over all runs of a data set, and once more over all runs where
    there are several data sets. It controls for nothing: seeds of one model count as runs of their own, and the level
    of a data set is not taken out. Nor are the levels adjusted for the number of claims.

    Args:
        claims: In the order in which they are to be answered.
        results: The table of the study.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        The verdicts, claim by claim.

    Raises:
        ValueError: If the confidence is not allowed.

    Example:
        >>> from lightning_topolip.study.results import Row
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
    runs = run_summaries(results)
    labels = list(dict.fromkeys(key.data for key in runs))
    groups = [(label, {key: numbers for key, numbers in runs.items() if key.data == label}) for label in labels]
    together = [(ALL_DATA, runs)] if len(labels) > 1 else []
    return [
        _compare(claim, label, found, confidence)
        if claim.correlation is None
        else _correlate(claim, claim.correlation, label, found, confidence)
        for claim in claims
        for label, found in groups + (together if claim.correlation else [])
    ]


def _compare(claim: Claim, data: str, runs: Runs, confidence: float) -> Verdict:
    unit = SUMMARIES[claim.summary].comparison
    first, second = (_numbers_of(model, claim.summary, runs) for model in (claim.lower, claim.higher))
    estimate = mean_ratio if unit == "ratio" else mean_difference
    effect, low, high = estimate(first, second, confidence)
    obstacle = _obstacle(claim.lower, claim.summary, first) or _obstacle(claim.higher, claim.summary, second)
    known = _count(first) + _count(second)
    return Verdict(
        claim=claim,
        data=data,
        verdict="undecided" if obstacle else _finding(low, high, _NEUTRAL[unit], "below"),
        effect=effect,
        low=low,
        high=high,
        unit=unit,
        first=_described(claim.lower, first, "seed"),
        second=_described(claim.higher, second, "seed"),
        runs=known,
        models=sum(_count(values) > 0 for values in (first, second)),
        remark=_joined(obstacle, _left_out(len(first) + len(second) - known)),
    )


def _correlate(claim: Claim, pair: tuple[str, str], data: str, runs: Runs, confidence: float) -> Verdict:
    known = {key: numbers for key, numbers in runs.items() if not any(math.isnan(numbers[name]) for name in pair)}
    first, second = ([numbers[name] for numbers in known.values()] for name in pair)
    found = spearman(first, second, confidence)
    obstacle = _obstacle_of_correlation(pair, first, second)
    claimed: Side = "above" if claim.sign == "positive" else "below"
    return Verdict(
        claim=claim,
        data=data,
        verdict="undecided" if obstacle else _finding(found.low, found.high, _NEUTRAL["rho"], claimed),
        effect=found.rho,
        low=found.low,
        high=found.high,
        unit="rho",
        first=_described(pair[0], first, "run"),
        second=_described(pair[1], second, "run"),
        runs=found.count,
        models=len({key.model for key in known}),
        remark=_joined(obstacle, _left_out(len(runs) - found.count)),
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


def _obstacle_of_correlation(pair: tuple[str, str], first: Sequence[float], second: Sequence[float]) -> str:
    if not first:
        return f"{pair[0]} and {pair[1]} were not measured in the same runs"
    if len(first) < _FEWEST_PAIRS:
        return f"there are fewer than {_FEWEST_PAIRS} runs"
    constant = [name for name, values in zip(pair, (first, second), strict=True) if len(set(values)) == 1]
    return f"every run has the same {' and '.join(constant)}" if constant else ""


def _described(name: str, values: Sequence[float], noun: str) -> str:
    found = spread(values)
    if found.size == 0:
        return f"{name} not measured"
    around = "" if math.isnan(found.deviation) else f" ± {found.deviation:.2g}"
    return f"{name} {found.mean:.3g}{around} ({counted(found.size, noun)})"


def _count(values: Sequence[float]) -> int:
    return sum(not math.isnan(value) for value in values)


def counted(count: int, noun: str) -> str:
    """Write how many there are of something, such as ``"1 run"`` or ``"6 runs"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _left_out(count: int) -> str:
    return f"{counted(count, 'run')} without the value left out" if count else ""


def _joined(*remarks: str) -> str:
    return "; ".join(remark for remark in remarks if remark)


def _check_summary(argument: str, name: str) -> None:
    if name in SUMMARIES:
        return
    close = difflib.get_close_matches(name, SUMMARIES)
    allowed = f"did you mean {' or '.join(map(repr, close))}?" if close else f"take one of {sorted(SUMMARIES)}."
    raise ValueError(f"Argument `{argument}` must name a summary, got {name!r}; {allowed}")
