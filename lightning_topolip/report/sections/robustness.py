"""Accuracy under corruption and attack."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section, Table
from lightning_topolip.report.curves import Curve, curves
from lightning_topolip.report.lines import lines
from lightning_topolip.report.source import Source
from lightning_topolip.robustness import wilson_interval
from lightning_topolip.study.judging.formats import over_seeds
from lightning_topolip.study.judging.names import condition_name
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import ATTACKS, CLEAN, VALIDATION

_INTRO = (
    "Accuracy on test images that are clean, corrupted as in CIFAR-10-C, or attacked in the L∞ ball of radius ε. "
    "Strength 0 is the clean images."
)
_AXES = dict.fromkeys(ATTACKS, "ε in 255ths of the pixel range")


def robustness(source: Source) -> Section:
    """Show the accuracy against the strength of the perturbations, and a table of all of them, per data set."""
    blocks: list[Block] = []
    for data in source.data:
        corruptions, attacks = _perturbations(source.last.find(data, "accuracy"))
        panels = [_panel(source, data, [attack], condition_name(attack)) for attack in attacks]
        if corruptions:
            panels.insert(0, _panel(source, data, corruptions, "corruptions, mean of all"))
        drawn = [panel for panel in panels if panel]
        if drawn:
            blocks.append(Gallery(drawn, data))
        table = accuracy_table(source, data)
        if table:
            blocks.append(table)
    missing = [Note("These results hold no accuracies under corruption or attack.")]
    return Section("robustness", "Robustness", _INTRO, blocks or missing)


def accuracy_table(source: Source, data: str) -> Table | None:
    """List the accuracies, one column per model: clean, corruptions (lowest accuracy first), attacks by strength."""
    accuracies = source.last.find(data, "accuracy")
    corruptions, attacks = _perturbations(accuracies)
    if not corruptions and not attacks:
        return None
    rows = [["clean", *_cells(source, accuracies.where(condition=CLEAN))]]
    if corruptions:
        rows.append(["all corruptions", *_cells(source, accuracies.where(condition=corruptions))])
        rows += [
            [condition_name(name), *_cells(source, accuracies.where(condition=name))]
            for name in _sorted(accuracies, corruptions)
        ]
    for attack in attacks:
        for strength in sorted(accuracies.where(condition=attack).unique("strength")):
            cells = _cells(source, accuracies.where(condition=attack, strength=strength))
            rows.append([f"{condition_name(attack)}, ε = {strength:g}/255", *cells])
            hidden = source.last.find(data, "masked_gradients", condition=attack, strength=strength)
            if (hidden.values() > 0).any():
                rows.append(["of these, images without a gradient", *_counts(source, hidden)])
    caption = (
        f"Accuracy on {data}: mean ± standard deviation over seeds; corruptions: mean over their severities, the most "
        "harmful first."
    )
    if (source.last.find(data, "masked_gradients").values() > 0).any():
        caption += (
            " The gradient of some images is exactly zero: an attack by gradients cannot move them, and their accuracy "
            "is that under a black-box attack, an upper bound."
        )
    return Table(caption, ["test images", *source.models], rows)


def accuracy_curves(source: Source, data: str, conditions: list[str]) -> list[Curve]:
    """Return the mean accuracy over perturbations against their strength, starting with the clean images.

    The band of a single seed is the Wilson interval of its images.
    """
    accuracies = source.last.find(data, "accuracy", condition=[CLEAN, *conditions])
    perturbed = accuracies.where(condition=conditions).unique("model")
    models = [model for model in source.models if model in perturbed]
    return [_with_interval(source, data, curve) for curve in curves(accuracies, lambda row: row.strength, models)]


def strength_axis(condition: str) -> str:
    """Name the strength of a perturbation with its unit."""
    return _AXES.get(condition, "standard deviation in pixel units" if condition == "noise" else "severity")


def _perturbations(accuracies: Results) -> tuple[list[str], list[str]]:
    """Return the corruptions and the attacks that were measured."""
    conditions = accuracies.unique("condition")
    corruptions = [name for name in conditions if name not in {CLEAN, VALIDATION, *ATTACKS}]
    return corruptions, [name for name in ATTACKS if name in conditions]


def _panel(source: Source, data: str, conditions: list[str], name: str) -> Panel | None:
    accuracies = accuracy_curves(source, data, conditions)
    title, x = f"Accuracy under {name}{source.title_suffix(data)}", strength_axis(conditions[0])
    return lines(accuracies, source.styles, title, x, "accuracy, test", share=True)


def _with_interval(source: Source, data: str, curve: Curve) -> Curve:
    images = _images(source.last.find(data, "images", model=curve.model, condition=CLEAN))
    if len(curve.seeds) > 1 or not images:
        return curve
    intervals = [wilson_interval(min(round(share * images), images), images) for share in curve.mean]
    low, high = np.array(intervals).T
    return replace(curve, low=low, high=high, band=f"95 % interval of {images} images (Wilson)")


def _images(rows: Results) -> int:
    values = rows.values()
    return int(values[0]) if len(values) and np.isfinite(values[0]) else 0


def _sorted(accuracies: Results, conditions: Iterable[str]) -> list[str]:
    return sorted(conditions, key=lambda name: (_mean(accuracies.where(condition=name)), name))


def _mean(accuracies: Results) -> float:
    values = accuracies.values()
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.inf


def _counts(source: Source, hidden: Results) -> list[str]:
    """The largest number of images over the seeds, by model."""
    by_model = (hidden.where(model=model).values() for model in source.models)
    return [f"{max(counts):.0f}" if len(counts) else "" for counts in by_model]


def _cells(source: Source, accuracies: Results) -> list[str]:
    return [
        over_seeds([float(of_model.where(seed=seed).values().mean()) for seed in of_model.unique("seed")], share=True)
        for of_model in (accuracies.where(model=model) for model in source.models)
    ]
