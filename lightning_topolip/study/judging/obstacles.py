"""Why a claim is not asked of the data: no interval that they could give would answer it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lightning_topolip.study.judging.averages import arithmetic_mean
from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.names import NAMES
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import AT_INPUT_SPACING, COVERING_NUMBER, SUMMARIES
from lightning_topolip.study.judging.wording import counted

FEWEST_MODELS = 4
FEWEST_RUNS = 2
_ALMOST_ALL = 0.95


def obstacle_of_model(model: str, summary: str, values: Sequence[float]) -> str:
    """Say why the numbers of a model allow no comparison; empty if they do."""
    measured = [value for value in values if not math.isnan(value)]
    if not values:
        return f"there is no run of {model}"
    if not measured:
        return f"{NAMES[summary]} was not measured for {model}"
    if not np.isfinite(measured).all():
        return f"{NAMES[summary]} of {model} is infinite in {counted(int(np.isinf(measured).sum()), 'run')}"
    if SUMMARIES[summary].comparison == "ratio" and min(measured) <= 0:
        return f"{NAMES[summary]} of {model} is not positive in every run, so the ratio is undefined"
    return f"there are fewer than {FEWEST_RUNS} runs of {model}" if len(measured) < FEWEST_RUNS else ""


def obstacle_of_agreement(summary: str, *sides: Sequence[float]) -> str:
    """Say that the spread of the seeds is unknown, if each model's agree in a number that depends on the seed."""
    distinct = [len({value for value in values if not math.isnan(value)}) for values in sides]
    if SUMMARIES[summary].exact or max(distinct) > 1:
        return ""
    return "all seeds of each model agree, so their spread is unknown"


def obstacle_of_training(claim: Claim, results: Results) -> str:
    """Say that two models were trained for different numbers of epochs, if so."""
    trained = [max(results.where(model=model).unique("epoch"), default=0.0) for model in (claim.lower, claim.higher)]
    if trained[0] == trained[1]:
        return ""
    return f"trained for {trained[0]:g} and {trained[1]:g} epochs, so an epoch is not the same part of both trainings"


def obstacle_of_saturation(claim: Claim, results: Results) -> str:
    """Say that the covering numbers of both models are those of any cloud: a ball for every sample, or one for all."""
    covers = results.where(quantity=COVERING_NUMBER, model=(claim.lower, claim.higher)).last_epoch()
    curves = covers.where(variant="")
    if not len(curves):
        return ""
    smallest = min(curves.unique("strength"))
    samples = max(curves.where(strength=smallest).values())
    at_spacing = [row for row in covers.where(variant=AT_INPUT_SPACING) if not row.layer.startswith("<")]
    means = [
        arithmetic_mean(row.value for row in at_spacing if row.model == model) for model in (claim.lower, claim.higher)
    ]
    if min(means) >= _ALMOST_ALL * samples:
        return f"almost each of the {samples:g} samples needs its own ball in both models"
    return "one ball covers all samples in both models" if max(means) <= 1 else ""


def obstacle_of_correlation(pair: tuple[str, str], first: Sequence[float], second: Sequence[float]) -> str:
    """Say why the numbers of the models allow no correlation; empty if they do."""
    if not first:
        return f"{NAMES[pair[0]]} and {NAMES[pair[1]]} were not measured in the same runs"
    if len(first) < FEWEST_MODELS:
        return f"there are fewer than {FEWEST_MODELS} models"
    constant = [NAMES[name] for name, values in zip(pair, (first, second), strict=True) if len(set(values)) == 1]
    return f"every model has the same {' and '.join(constant)}" if constant else ""
