"""Accuracy off the clean images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from lightning_topolip.report.blocks import Block, Gallery, Note, Panel, Section, Table
from lightning_topolip.report.curves import Curve, curves, describe
from lightning_topolip.report.formats import condition_name, over_seeds
from lightning_topolip.report.lines import lines
from lightning_topolip.report.source import Source
from lightning_topolip.robustness import wilson_interval
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import ATTACKS, CLEAN, VALIDATION

_INTRO = (
    "Accuracy on test images that are clean, corrupted as in CIFAR-10-C, or attacked in the L∞ ball of radius ε. "
    "Strength 0 is the clean images."
)
_AXES = dict.fromkeys(ATTACKS, "ε in 255ths of the pixel range")


def robustness(source: Source) -> Section:
    """Show the accuracy under every perturbation and against its strength.

    Args:
        source: The study.

    Returns:
        A table and a gallery a data set.
    """
    blocks: list[Block] = []
    for data in source.data:
        found = source.last.find(data, "accuracy")
        corruptions = [c for c in found.unique("condition") if c not in {CLEAN, VALIDATION, *ATTACKS}]
        panels = [_panel(source, data, corruptions, "corruptions, mean of all")] if corruptions else []
        panels += [
            _panel(source, data, [attack], condition_name(attack))
            for attack in ATTACKS
            if attack in found.unique("condition")
        ]
        shown = [panel for panel in panels if panel is not None]
        if shown:
            blocks.append(Gallery(shown, data))
        table = accuracy_table(source, data)
        if table:
            blocks.append(table)
    missing = [Note("These results hold no accuracies under corruption or attack.")]
    return Section("robustness", "Robustness", _INTRO, blocks or missing)


def accuracy_curves(source: Source, data: str, conditions: list[str]) -> list[Curve]:
    """Give the accuracy against the strength of a perturbation, from the clean images on.

    Args:
        source: The study.
        data: Label of the data.
        conditions: Their mean is taken.

    Returns:
        A curve a model that was perturbed; the band of a single seed is the Wilson interval of its images.
    """
    found = source.last.find(data, "accuracy", condition=[CLEAN, *conditions])
    perturbed = found.where(condition=conditions).unique("model")
    return [
        _with_interval(source, data, curve)
        for curve in curves(found, lambda row: row.strength, [model for model in source.models if model in perturbed])
    ]


def strength_axis(condition: str) -> str:
    """Name the strength of a perturbation, with its unit."""
    return _AXES.get(condition, "standard deviation in pixel units" if condition == "noise" else "severity")


def _panel(source: Source, data: str, conditions: list[str], name: str) -> Panel | None:
    found = accuracy_curves(source, data, conditions)
    if not found:
        return None
    title, axis = f"Accuracy under {name}{source.of_data(data)}", strength_axis(conditions[0])
    return Panel(lines(found, source.looks, title, axis, "accuracy, test", share=True), describe(found, axis, title))


def _with_interval(source: Source, data: str, curve: Curve) -> Curve:
    images = _images(source.last.find(data, "images", model=curve.model, condition=CLEAN))
    if len(curve.seeds) > 1 or not images:
        return curve
    intervals = [wilson_interval(min(round(share * images), images), images) for share in curve.mean]
    low, high = np.array(intervals).T
    return replace(curve, low=low, high=high, band=f"95 % interval of {images} images (Wilson)")


def _images(found: Results) -> int:
    values = found.values()
    return int(values[0]) if len(values) and np.isfinite(values[0]) else 0


def accuracy_table(source: Source, data: str) -> Table | None:
    """List the accuracies of all models under every condition.

    Args:
        source: The study.
        data: Label of the data.

    Returns:
        Clean first, then the mean over corruptions, then the corruptions, the most harmful first, then the attacks by
        strength; a column a model. None without robustness.
    """
    found = source.last.find(data, "accuracy")
    corrupted = [name for name in found.unique("condition") if name not in {CLEAN, VALIDATION, *ATTACKS}]
    attacked = [name for name in ATTACKS if name in found.unique("condition")]
    if not corrupted and not attacked:
        return None
    rows = [["clean", *_cells(source, found.where(condition=CLEAN))]]
    if corrupted:
        rows.append(["all corruptions", *_cells(source, found.where(condition=corrupted))])
        rows += [
            [condition_name(name), *_cells(source, found.where(condition=name))] for name in _sorted(found, corrupted)
        ]
    for attack in attacked:
        for strength in sorted(found.where(condition=attack).unique("strength")):
            cells = _cells(source, found.where(condition=attack, strength=strength))
            rows.append([f"{condition_name(attack)}, ε = {strength:g}/255", *cells])
    return Table(
        f"Accuracy on {data}: mean ± standard deviation over seeds; corruptions: mean over their severities, the most "
        "harmful first.",
        ["test images", *source.models],
        rows,
    )


def _sorted(found: Results, conditions: Iterable[str]) -> list[str]:
    return sorted(conditions, key=lambda name: (_mean(found.where(condition=name)), name))


def _mean(found: Results) -> float:
    values = found.values()
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.inf


def _cells(source: Source, found: Results) -> list[str]:
    return [
        over_seeds([float(of_model.where(seed=seed).values().mean()) for seed in of_model.unique("seed")], share=True)
        for of_model in (found.where(model=model) for model in source.models)
    ]
