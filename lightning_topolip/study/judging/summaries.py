"""The summary of a run: some thirty numbers, each with its meaning and its unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from lightning_topolip.study.judging.averages import Mean, arithmetic_mean, geometric_mean, median
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.run_rows import Number, RunRows, in_layer
from lightning_topolip.topology.names import NETWORK

Comparison = Literal["ratio", "difference"]

HEADLINE = "scaled W2"
RAW = "raw W2"
AT_INPUT_SPACING = "at the spacing of the input"
ATTACKS = ("fgsm", "pgd", "autoattack")
CLEAN, VALIDATION = "clean", "validation"
PATH_LENGTH, COVERING_NUMBER = "path_length", "covering_number"
_DECIMALS = 12  # equal shares of a few thousand images must be exactly equal: a rank correlation counts ties


class RunKey(NamedTuple):
    """Labels of the data and of the model, and the seed: they identify a run, the training of one model."""

    data: str
    model: str
    seed: int


@dataclass(frozen=True)
class Summary:
    """The definition of one number of a run.

    Attributes:
        meaning: What the number is, in words.
        unit: Its unit; empty for a plain number.
        comparison: How two models are compared: by their ``"ratio"`` (positive values) or their ``"difference"``.
        of: Computes the number from the rows of a run; NaN if the rows are missing.
        error: Computes its standard error on the probe, or an upper bound of it; NaN if it is not known.
        at_equal_accuracy: Whether two models are always compared where their accuracies are equal.
        over_training: Whether it is a mean over epochs; models trained for different numbers of epochs do not compare.
        exact: Whether it does not depend on the seed, so that any difference is decisive.
    """

    meaning: str
    unit: str
    comparison: Comparison
    of: Number = field(repr=False)
    error: Number = field(default=lambda run: math.nan, repr=False)
    at_equal_accuracy: bool = False
    over_training: bool = False
    exact: bool = False


def run_summaries(results: Results) -> dict[RunKey, dict[str, float]]:
    """Compute every number of `SUMMARIES` for every run, in the order of the table; NaN if its rows are missing.

    Example:
        >>> rows = [Row("digits", "vit", 0, 1.0, "topolip", "scaled W2", "", "", 0.0, 0.25)]
        >>> numbers = run_summaries(Results(rows))[RunKey("digits", "vit", 0)]
        >>> numbers["topolip"], numbers["corruption_drop"]
        (0.25, nan)
    """
    return {
        key: {name: summary.of(run) for name, summary in SUMMARIES.items()} for key, run in rows_by_run(results).items()
    }


def run_errors(results: Results) -> dict[RunKey, dict[str, float]]:
    """Compute the standard error on the probe of every number of `run_summaries`; NaN if it is not known.

    Example:
        >>> rows = [Row("digits", "vit", 0, 1.0, "topolip", "scaled W2", "", "", 0.0, 0.25, 0.01)]
        >>> errors = run_errors(Results(rows))[RunKey("digits", "vit", 0)]
        >>> errors["topolip"], errors["accuracy"]
        (0.01, nan)
    """
    return {
        key: {name: summary.error(run) for name, summary in SUMMARIES.items()}
        for key, run in rows_by_run(results).items()
    }


def rows_by_run(results: Results) -> dict[RunKey, RunRows]:
    """Group the rows by run, in the order of the table."""
    runs: dict[RunKey, list[Row]] = {}
    for row in results:
        runs.setdefault(RunKey(row.data, row.model, row.seed), []).append(row)
    return {key: RunRows(rows) for key, rows in runs.items()}


def _single(quantity: str, variant: str = "", layer: str = "", condition: str = "") -> Number:
    return lambda run: run.single(quantity, variant, layer, condition).value


def _single_error(quantity: str, variant: str) -> Number:
    return lambda run: run.single(quantity, variant).error


def _over_layers(mean: Mean, quantity: str, variant: str = "") -> Number:
    return lambda run: mean(row.value for row in run.at_end(quantity, variant) if in_layer(row))


def _over_steps(mean: Mean, quantity: str, variant: str) -> Number:
    return lambda run: mean(row.value for row in run.at_end(quantity, variant) if row.layer != NETWORK)


def _over_perturbations(mean: Mean, quantity: str) -> Number:
    return lambda run: mean(row.value for row in run.at_end(quantity, HEADLINE) if in_layer(row) and row.strength > 0)


def _epoch_drifts(run: RunRows, *, late: bool) -> dict[float, list[Row]]:
    """The rows of every layer by analysis, of the second half of the training only if `late`."""
    by_epoch: dict[float, list[Row]] = {}
    for row in run.of("epoch_drift", HEADLINE):
        if in_layer(row):
            by_epoch.setdefault(row.epoch, []).append(row)
    epochs = sorted(by_epoch)
    analyses = len(epochs) + 1
    return {epoch: by_epoch[epoch] for epoch in (epochs[-(analyses // 2) :] if late else epochs)}


def _epoch_drift(*, late: bool) -> Number:
    return lambda run: arithmetic_mean(
        arithmetic_mean(row.value for row in rows) for rows in _epoch_drifts(run, late=late).values()
    )


def _epoch_drift_error(*, late: bool) -> Number:
    """The mean of the errors: the error of a mean is at most that, whatever the correlations."""
    return lambda run: arithmetic_mean(
        arithmetic_mean(row.error for row in rows) for rows in _epoch_drifts(run, late=late).values()
    )


def _pairwise_lipschitz(run: RunRows) -> float:
    return _single("pairwise_lipschitz", "from input", run.last_layer())(run)


def _accuracy(attack: str = "") -> Number:
    def value(run: RunRows) -> float:
        rows = [row for row in run.at_end("accuracy") if row.condition not in {CLEAN, VALIDATION} and row.strength > 0]
        values = [row.value for row in rows if (row.condition == attack if attack else row.condition not in ATTACKS)]
        return _rounded(sum(values) / len(values)) if values else math.nan

    return value


_clean = _single("accuracy", condition="clean")


def _drop(attack: str = "") -> Number:
    return lambda run: _rounded(_clean(run) - _accuracy(attack)(run))


def _attack_drop(run: RunRows) -> float:
    conditions = {row.condition for row in run.at_end("accuracy")}
    drops = [_drop(attack)(run) for attack in ATTACKS if attack in conditions]
    return _rounded(sum(drops) / len(drops)) if drops else math.nan


def _rounded(value: float) -> float:
    return round(value, _DECIMALS)


SUMMARIES: dict[str, Summary] = {
    "topolip": Summary(
        "TopoLip: how unevenly the diagrams travel from layer to layer",
        "scale per layer^2", "ratio", _single("topolip", HEADLINE),
        _single_error("topolip", HEADLINE)),
    "speed_mean": Summary(
        "mean speed: how far the diagrams travel from layer to layer",
        "scale per layer", "ratio", _single("speed_mean", HEADLINE),
        _single_error("speed_mean", HEADLINE)),
    "speed_max": Summary(
        "largest speed: the longest step of the diagrams between layers",
        "scale per layer", "ratio", _single("speed_max", HEADLINE),
        _single_error("speed_max", HEADLINE)),
    "input_drift": Summary(
        "input drift: the step of the diagrams from the input to the first layer",
        "scale per layer", "ratio", _single("input_drift", HEADLINE),
        _single_error("input_drift", HEADLINE)),
    "paired_speed": Summary(
        "paired speed: how differently consecutive layers connect the same samples (RTD-Lite per sample)",
        "scale per layer", "ratio", _single("paired_speed", "scaled"), _single_error("paired_speed", "scaled")),
    "topolip_raw": Summary(
        "TopoLip of the raw view, which carries the gain of the layers too",
        "activation per layer^2", "ratio", _single("topolip", RAW)),
    "speed_mean_raw": Summary(
        "mean speed of the raw view, which carries the gain of the layers too",
        "activation per layer", "ratio", _single("speed_mean", RAW)),
    "epoch_drift": Summary(
        "epoch drift: how far the diagrams of a layer travel in an epoch, mean over layers and analyses",
        "scale per epoch", "ratio", _epoch_drift(late=False), _epoch_drift_error(late=False), over_training=True),
    "late_epoch_drift": Summary(
        "late epoch drift: the same in the second half of the analyses",
        "scale per epoch", "ratio", _epoch_drift(late=True), _epoch_drift_error(late=True), over_training=True),
    PATH_LENGTH: Summary(
        "path length: how far the diagrams of a layer travel in the whole training, mean over layers; two models are "
        "compared at equal accuracy",
        "scale", "ratio", _single(PATH_LENGTH, HEADLINE), _single_error(PATH_LENGTH, HEADLINE), at_equal_accuracy=True),
    "two_nn_dimension": Summary(
        "intrinsic dimension by two nearest neighbours, mean over layers",
        "", "ratio", _over_layers(arithmetic_mean, "two_nn_dimension")),
    "participation_ratio": Summary(
        "effective number of directions of the variance, mean over layers",
        "", "ratio", _over_layers(arithmetic_mean, "participation_ratio")),
    "covering_dimension": Summary(
        "growth rate of the covering numbers, mean over layers",
        "", "ratio", _over_layers(arithmetic_mean, "covering_dimension")),
    "total_variance": Summary(
        "variance of the activations summed over features, geometric mean over layers",
        "activation^2", "ratio", _over_layers(geometric_mean, "total_variance")),
    COVERING_NUMBER: Summary(
        "balls that cover the cloud (upper bound) at the median distance between nearest neighbours of the input as "
        "radius, both in units of their scale; mean over layers",
        "balls", "ratio", _over_layers(arithmetic_mean, COVERING_NUMBER, AT_INPUT_SPACING)),
    "pairwise_lipschitz": Summary(
        "Lipschitz constant from the input to the last layer over pairs of the probe (lower bound)",
        "", "ratio", _pairwise_lipschitz),
    "pairwise_step": Summary(
        "Lipschitz constant of a layer over pairs of the probe (lower bound), geometric mean over layers",
        "", "ratio", _over_layers(geometric_mean, "pairwise_lipschitz", "step")),
    "local_lipschitz": Summary(
        "largest local Lipschitz constant of the network at samples of the probe (lower bound)",
        "", "ratio", _single("local_lipschitz", "max", NETWORK)),
    "local_lipschitz_mean": Summary(
        "mean local Lipschitz constant of the network at samples of the probe (lower bound)",
        "", "ratio", _single("local_lipschitz", "mean", NETWORK)),
    "local_step": Summary(
        "mean local Lipschitz constant of a step at samples of the probe (lower bound), geometric mean over steps",
        "", "ratio", _over_steps(geometric_mean, "local_lipschitz", "mean")),
    "lipschitz_bound": Summary(
        "Lipschitz bound of the network (upper bound)",
        "", "ratio", _single("lipschitz_bound", "upper", NETWORK)),
    "accuracy": Summary(
        "accuracy on clean test images", "share", "difference", _clean),
    "validation_accuracy": Summary(
        "accuracy on validation images", "share", "difference", _single("accuracy", condition="validation")),
    "corruption_accuracy": Summary(
        "accuracy under corruption, mean over corruptions and severities", "share", "difference", _accuracy()),
    "corruption_drop": Summary(
        "accuracy lost to corruption, mean over corruptions and severities", "share", "difference", _drop()),
    "fgsm_drop": Summary(
        "accuracy lost to FGSM, mean over epsilons", "share", "difference", _drop("fgsm")),
    "pgd_drop": Summary(
        "accuracy lost to PGD, mean over epsilons", "share", "difference", _drop("pgd")),
    "autoattack_drop": Summary(
        "accuracy lost to AutoAttack, mean over epsilons", "share", "difference", _drop("autoattack")),
    "attack_drop": Summary(
        "accuracy lost to attacks, mean over those of the study", "share", "difference", _attack_drop),
    "perturbation_gain": Summary(
        "gain of a layer on the drift of a perturbed input, mean over layers, perturbations and strengths",
        "", "ratio", _over_perturbations(arithmetic_mean, "perturbation_gain")),
    "perturbation_gain_median": Summary(
        "gain of a layer on the drift of a perturbed input, median over layers, perturbations and strengths",
        "", "ratio", _over_perturbations(median, "perturbation_gain")),
    "parameters": Summary(
        "trainable parameters", "", "ratio", _single("parameters"), exact=True),
}  # fmt: skip
