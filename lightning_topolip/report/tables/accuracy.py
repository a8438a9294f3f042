"""Accuracy, clean and under every perturbation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lightning_topolip.report.blocks import Table
from lightning_topolip.report.formats import condition_name, over_seeds
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import ATTACKS

CLEAN, VALIDATION = "clean", "validation"


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
