"""Lipschitz constants, each labelled as the bound it is."""

from __future__ import annotations

from lightning_topolip.report.blocks import Table
from lightning_topolip.report.formats import MISSING, over_seeds
from lightning_topolip.report.source import Source


def lipschitz_table(source: Source) -> Table | None:
    """List the Lipschitz constants of whole networks.

    Args:
        source: The study.

    Returns:
        A row a data set and model; None where nothing was measured.
    """
    rows = [
        [data, model, *cells]
        for data in source.data
        for model in source.models
        if set(cells := _cells(source, data, model)) != {MISSING}
    ]
    header = [
        "data",
        "model",
        "pairs of images, input to last layer (lower bound)",
        "local, mean over images, input to logits (lower bound)",
        "local, largest over images, input to logits (lower bound)",
        "whole network (upper bound)",
    ]
    caption = (
        "Lipschitz constants of the networks at the last epoch, mean ± standard deviation over seeds. The constant of "
        "a network on the region of the probe lies between its largest lower bound and its upper bound; ∞: no finite "
        "bound is known."
    )
    return Table(caption, header, rows) if rows else None


def _cells(source: Source, data: str, model: str) -> list[str]:
    names = ("pairwise_lipschitz", "local_lipschitz_mean", "local_lipschitz", "lipschitz_bound")
    return [over_seeds(source.summary(data, model, name)) for name in names]
