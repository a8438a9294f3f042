"""The summary of a run: some thirty numbers, each with its meaning and its unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from lightning_topolip.study.judging.averages import Mean, arithmetic_mean, geometric_mean, median
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.topology.names import NETWORK

Comparison = Literal["ratio", "difference"]

HEADLINE = "scaled W2"
RAW = "raw W2"
_COVER_RADIUS = 0.5
ATTACKS = ("fgsm", "pgd", "autoattack")
CLEAN, VALIDATION = "clean", "validation"
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
        over_training: Whether it is a mean over epochs; models trained for different numbers of epochs do not compare.
        exact: Whether it does not depend on the seed, so that any difference is decisive.
    """

    meaning: str
    unit: str
    comparison: Comparison
    of: Callable[[RunRows], float] = field(repr=False)
    over_training: bool = False
    exact: bool = False


class RunRows:
    """The rows of one run, grouped by quantity; layers keep their order of execution."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[str, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(row.quantity, []).append(row)
        self.last_epoch = max((row.epoch for group in self._rows.values() for row in group), default=math.nan)

    def of(self, quantity: str, variant: str = "") -> list[Row]:
        """Return the rows of a quantity at all epochs."""
        return [row for row in self._rows.get(quantity, []) if row.variant == variant]

    def at_end(self, quantity: str, variant: str = "") -> list[Row]:
        """Return the rows of a quantity at the last epoch."""
        return [row for row in self.of(quantity, variant) if row.epoch == self.last_epoch]

    def last_layer(self) -> str:
        """Return the name of the last layer; empty if no layer was measured."""
        rows = self._rows.get("scale") or self._rows.get("pairwise_lipschitz", [])
        return next((row.layer for row in reversed(rows) if _in_layer(row)), "")


def run_summaries(results: Results) -> dict[RunKey, dict[str, float]]:
    """Compute every number of `SUMMARIES` for every run, in the order of the table; NaN if its rows are missing.

    Example:
        >>> rows = [Row("digits", "vit", 0, 1.0, "topolip", "scaled W2", "", "", 0.0, 0.25)]
        >>> numbers = run_summaries(Results(rows))[RunKey("digits", "vit", 0)]
        >>> numbers["topolip"], numbers["corruption_drop"]
        (0.25, nan)
    """
    runs: dict[RunKey, list[Row]] = {}
    for row in results:
        runs.setdefault(RunKey(row.data, row.model, row.seed), []).append(row)
    grouped = {key: RunRows(rows) for key, rows in runs.items()}
    return {key: {name: summary.of(run) for name, summary in SUMMARIES.items()} for key, run in grouped.items()}


def _single(quantity: str, variant: str = "", layer: str = "", condition: str = "") -> Callable[[RunRows], float]:
    def value(run: RunRows) -> float:
        rows = [row for row in run.at_end(quantity, variant) if (row.layer, row.condition) == (layer, condition)]
        return rows[-1].value if rows else math.nan

    return value


def _over_layers(mean: Mean, quantity: str, variant: str = "") -> Callable[[RunRows], float]:
    return lambda run: mean(row.value for row in run.at_end(quantity, variant) if _in_layer(row))


def _over_steps(mean: Mean, quantity: str, variant: str) -> Callable[[RunRows], float]:
    return lambda run: mean(row.value for row in run.at_end(quantity, variant) if row.layer != NETWORK)


def _over_perturbations(mean: Mean, quantity: str) -> Callable[[RunRows], float]:
    return lambda run: mean(row.value for row in run.at_end(quantity, HEADLINE) if _in_layer(row) and row.strength > 0)


def _epoch_drift(run: RunRows, late: bool = False) -> float:
    rows = [row for row in run.of("epoch_drift", HEADLINE) if _in_layer(row)]
    epochs = sorted({row.epoch for row in rows})
    analyses = len(epochs) + 1
    averaged = epochs[-(analyses // 2) :] if late else epochs
    return arithmetic_mean(arithmetic_mean(row.value for row in rows if row.epoch == epoch) for epoch in averaged)


def _late_epoch_drift(run: RunRows) -> float:
    return _epoch_drift(run, late=True)


def _covering_number(run: RunRows) -> float:
    rows = [row for row in run.at_end("covering_number") if _in_layer(row)]
    radii = {row.strength for row in rows}
    nearest = min(radii, key=lambda radius: (abs(radius - _COVER_RADIUS), radius), default=math.nan)
    return arithmetic_mean(row.value for row in rows if row.strength == nearest)


def _pairwise_lipschitz(run: RunRows) -> float:
    return _single("pairwise_lipschitz", "from input", run.last_layer())(run)


def _accuracy(attack: str = "") -> Callable[[RunRows], float]:
    def value(run: RunRows) -> float:
        rows = [row for row in run.at_end("accuracy") if row.condition not in {CLEAN, VALIDATION} and row.strength > 0]
        values = [row.value for row in rows if (row.condition == attack if attack else row.condition not in ATTACKS)]
        return _rounded(sum(values) / len(values)) if values else math.nan

    return value


_clean = _single("accuracy", condition="clean")


def _drop(attack: str = "") -> Callable[[RunRows], float]:
    return lambda run: _rounded(_clean(run) - _accuracy(attack)(run))


def _attack_drop(run: RunRows) -> float:
    conditions = {row.condition for row in run.at_end("accuracy")}
    drops = [_drop(attack)(run) for attack in ATTACKS if attack in conditions]
    return _rounded(sum(drops) / len(drops)) if drops else math.nan


def _rounded(value: float) -> float:
    return round(value, _DECIMALS)


def _in_layer(row: Row) -> bool:
    return bool(row.layer) and not row.layer.startswith("<")


SUMMARIES: dict[str, Summary] = {
    "topolip": Summary(
        "TopoLip: how unevenly the diagrams travel from layer to layer",
        "scale per layer^2", "ratio", _single("topolip", HEADLINE)),
    "speed_mean": Summary(
        "mean speed: how far the diagrams travel from layer to layer",
        "scale per layer", "ratio", _single("speed_mean", HEADLINE)),
    "speed_max": Summary(
        "largest speed: the longest step of the diagrams between layers",
        "scale per layer", "ratio", _single("speed_max", HEADLINE)),
    "input_drift": Summary(
        "input drift: the step of the diagrams from the input to the first layer",
        "scale per layer", "ratio", _single("input_drift", HEADLINE)),
    "topolip_raw": Summary(
        "TopoLip of the raw view, which carries the gain of the layers too",
        "activation per layer^2", "ratio", _single("topolip", RAW)),
    "speed_mean_raw": Summary(
        "mean speed of the raw view, which carries the gain of the layers too",
        "activation per layer", "ratio", _single("speed_mean", RAW)),
    "epoch_drift": Summary(
        "epoch drift: how far the diagrams of a layer travel in an epoch, mean over layers and analyses",
        "scale per epoch", "ratio", _epoch_drift, over_training=True),
    "late_epoch_drift": Summary(
        "late epoch drift: the same in the second half of the analyses",
        "scale per epoch", "ratio", _late_epoch_drift, over_training=True),
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
    "covering_number": Summary(
        "balls of half the layer's scale that cover the cloud (upper bound), mean over layers",
        "balls", "ratio", _covering_number),
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
