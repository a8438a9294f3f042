"""Correlate smoothness with robustness over the models of several studies on the same data, as Markdown.

python examples/together.py docs/results/normalisation docs/results/residual docs/results/depth

Every model counts once, as the mean of its seeds, and a training that occurs in several studies counts once. The
studies must share data, probe and test images. The table also has other numbers that could explain a drop.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_topolip.study.judging.averages import model_means
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.statistics import spearman
from lightning_topolip.study.judging.summaries import run_summaries

EXPLANATIONS = ("topolip", "speed_mean", "local_lipschitz", "accuracy")
DROPS = ("corruption_drop", "attack_drop")


def together_table(folders: Sequence[Path]) -> str:
    """Return the rank correlations over the models of all studies."""
    models = list(dict.fromkeys(numbers for folder in folders for numbers in models_of(folder)))
    header = ["| over the models | accuracy lost to corruptions | accuracy lost to attacks |", "| --- | --- | --- |"]
    return "\n".join([*header, *(f"| {name} | {' | '.join(cells(name, models))} |" for name in EXPLANATIONS)])


def models_of(folder: Path) -> list[tuple[float, ...]]:
    """Return the numbers of every model of a study, in the order of `NAMES`."""
    return [
        tuple(values) for values in model_means(run_summaries(Results.read(folder / "results.csv")), NAMES).values()
    ]


def cells(name: str, models: Sequence[tuple[float, ...]]) -> list[str]:
    """Return the correlations of one number with both drops."""
    columns = dict(zip(NAMES, zip(*models, strict=True), strict=True))
    correlations = [spearman(columns[name], columns[drop]) for drop in DROPS]
    return [f"{each.rho:.2f} [{each.low:.2f}, {each.high:.2f}], {each.count} models" for each in correlations]


NAMES = (*EXPLANATIONS, *DROPS)

if __name__ == "__main__":
    print(together_table([Path(folder) for folder in sys.argv[1:]]))
