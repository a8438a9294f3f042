"""Lipschitz constants, each labelled as the bound it is."""

from __future__ import annotations

from lightning_topolip.local_constants import NETWORK
from lightning_topolip.report.formats import MISSING, over_seeds
from lightning_topolip.report.pieces import Table
from lightning_topolip.report.source import Source
from lightning_topolip.smoothness import INPUT


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
    last = source.last
    layers = [name for name in last.layers(data, model, "pairwise_lipschitz") if name != INPUT]
    pairs = last.find(data, "pairwise_lipschitz", model=model, variant="from input", layer=layers[-1:])
    local = last.find(data, "local_lipschitz", model=model, layer=NETWORK)
    bound = last.find(data, "lipschitz_bound", model=model, layer=NETWORK)
    return [
        over_seeds(pairs.values()),
        over_seeds(local.where(variant="mean").values()),
        over_seeds(local.where(variant="max").values()),
        over_seeds(bound.values()),
    ]
