"""What the study does not control for, and how to repeat it."""

from __future__ import annotations

import math

import numpy as np

from lightning_topolip.report.blocks import Block, Listing, Note, Section
from lightning_topolip.report.formats import count, listed, percent
from lightning_topolip.report.source import Source

_CONTROLS = (
    "A rank correlation takes every model once, as the mean of its seeds, and controls for nothing: accuracy, size and "
    "training differ between models too."
)


def limits(source: Source) -> Section:
    """Say what the results cannot tell, from the results themselves, and how to get them again.

    Args:
        source: The study.

    Returns:
        Paragraphs and the command.
    """
    blocks: list[Block] = [
        Note(text) for text in (*_sizes(source), *_epochs(source), *_accuracies(source), *_seeds(source)) if text
    ]
    blocks.append(
        Note(
            "Architecture: models differ in more than one thing at a time, unless the configuration varies one switch "
            "only, so a difference between two models is not the effect of attention or convolution as such. Numbers "
            "from probes of different sizes, from different layers or forms (raw, scaled) do not compare."
        )
    )
    if source.about.get("command"):
        blocks.append(
            Note(
                "To repeat the study, run this; a second run on the same machine with the same versions gives the same "
                "results.csv."
            )
        )
        blocks.append(Listing("Command", str(source.about["command"])))
    return Section("limits", "What this does not control for, and how to repeat it", "", blocks)


def _sizes(source: Source) -> list[str]:
    texts = []
    for data in source.data:
        sizes = {model: _mean(source.summary(data, model, "parameters")) for model in source.models}
        known = {model: size for model, size in sizes.items() if math.isfinite(size)}
        if len(known) > 1:
            texts.append(
                f"Size, {data}: {listed([f'{model} {count(size)}' for model, size in known.items()])} parameters."
            )
    return texts


def _epochs(source: Source) -> list[str]:
    trained = {run["model"]: run.get("epochs") for run in source.about.get("runs", []) if run.get("epochs")}
    if len(set(trained.values())) < 2:
        return []
    epochs = listed([f"{model} {count(number_of)}" for model, number_of in trained.items()])
    return [
        f"Epochs: {epochs}. Epoch drift shrinks as training goes on and learning rates fall with the whole of a "
        "training, so models trained for different numbers of epochs do not compare by it."
    ]


def _accuracies(source: Source) -> list[str]:
    texts = []
    for data in source.data:
        found = {model: _mean(source.summary(data, model, "accuracy")) for model in source.models}
        known = {model: value for model, value in found.items() if math.isfinite(value)}
        if len(known) > 1:
            texts.append(
                f"Accuracy, {data}: {listed([f'{model} {percent(value)}' for model, value in known.items()])} on clean "
                "images. A drop can be large only where there is accuracy to lose, and smoothness changes as a model "
                "learns; compare at equal accuracy."
            )
    return texts


def _seeds(source: Source) -> list[str]:
    seeds = sorted({key.seed for key in source.summaries})
    if not seeds:
        return []
    few = " Few seeds make wide intervals: undecided means that the study could not tell." if len(seeds) < 10 else ""
    return [f"Seeds: {listed(seeds)}, {len(source.summaries)} runs in all.{few} {_CONTROLS}"]


def _mean(values: list[float]) -> float:
    found = np.array(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    return float(found.mean()) if found.size else math.nan
