"""Correlate smoothness with robustness over the models of several studies on the same data, as Markdown.

python examples/together.py docs/results/normalisation docs/results/residual docs/results/depth

Every model counts once, as the mean of its seeds; a training that occurs in several studies counts once too. The
studies must share data, probe and test images. Other numbers that could explain a drop are listed besides TopoLip.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_topolip.study.judging.averages import model_means
from lightning_topolip.study.judging.obstacles import obstacle_of_correlation
from lightning_topolip.study.judging.results import Results, results_file
from lightning_topolip.study.judging.statistics import spearman
from lightning_topolip.study.judging.summaries import run_summaries

EXPLANATIONS = ("topolip", "speed_mean", "local_lipschitz", "accuracy")
DROPS = ("corruption_drop", "attack_drop")
NAMES = (*EXPLANATIONS, *DROPS)


def together_table(folders: Sequence[Path]) -> str:
    """Return the rank correlations over the models of all studies."""
    models = list(dict.fromkeys(numbers for folder in folders for numbers in models_of(folder)))
    header = ["| over the models | accuracy lost to corruptions | accuracy lost to attacks |", "| --- | --- | --- |"]
    return "\n".join([*header, *(f"| {name} | {' | '.join(cells(name, models))} |" for name in EXPLANATIONS)])


def models_of(folder: Path) -> list[tuple[float, ...]]:
    """Return the numbers of every model of a study, in the order of `NAMES`."""
    runs = run_summaries(Results.read(results_file(folder)))
    return [tuple(values) for values in model_means(runs, NAMES).values()]


def cells(name: str, models: Sequence[tuple[float, ...]]) -> list[str]:
    """Return the correlation of one number with both drops, or why it was not asked."""
    columns = {label: [numbers[place] for numbers in models] for place, label in enumerate(NAMES)}
    return [cell((name, drop), columns[name], columns[drop]) for drop in DROPS]


def cell(names: tuple[str, str], values: Sequence[float], drops: Sequence[float]) -> str:
    """Return a correlation."""
    rho, low, high, models = spearman(values, drops)
    obstacle = obstacle_of_correlation(names, values, drops)
    return f"not asked: {obstacle}" if obstacle else f"{rho:.2f} [{low:.2f}, {high:.2f}], {models} models"


if __name__ == "__main__":
    print(together_table([Path(folder) for folder in sys.argv[1:]]))
