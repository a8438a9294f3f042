"""The limits of the study, and how to repeat it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lightning_topolip.report.blocks import Block, Listing, Note, Section
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import count, join_names, number, percent

_ARCHITECTURE = (
    "Architecture: models differ in several ways at once, unless the configuration varies a single switch, so a "
    "difference between two models is not the effect of attention or convolution as such. Numbers from probes of "
    "different sizes, from different layers or in different forms (raw, scaled) are not comparable."
)
_CORRELATIONS = (
    "A rank correlation counts every model once, as the mean of its seeds, and controls for nothing: models also "
    "differ in accuracy, size and training."
)
_REPEAT = (
    "To repeat the study, run this command; a second run on the same machine with the same versions gives the same "
    "results.csv."
)


def limits(source: Source) -> Section:
    """State what the results cannot show, based on the results themselves, and how to repeat the study."""
    texts = [*_sizes(source), *_epochs(source), *_probe(source), *_accuracies(source), *_seeds(source), _ARCHITECTURE]
    blocks: list[Block] = [Note(text) for text in texts]
    if source.about.get("command"):
        blocks += [Note(_REPEAT), Listing("Command", str(source.about["command"]))]
    return Section("limits", "Limits, and how to repeat the study", "", blocks)


def _sizes(source: Source) -> list[str]:
    by_data = {data: _means(source, data, "parameters", count) for data in source.data}
    return [f"Size, {data}: {sizes} parameters." for data, sizes in by_data.items() if sizes]


def _epochs(source: Source) -> list[str]:
    trained = {run["model"]: run.get("epochs") for run in source.about.get("runs", []) if run.get("epochs")}
    if len(set(trained.values())) < 2:
        return []
    epochs = join_names([f"{model} {count(number_of)}" for model, number_of in trained.items()])
    return [
        f"Epochs: {epochs}. Epoch drift shrinks as training continues and learning rates fall over the whole training, "
        "so it does not compare models that were trained for different numbers of epochs; the path length does."
    ]


def _probe(source: Source) -> list[str]:
    size = source.about.get("config", {}).get("smoothness", {}).get("probe_size")
    if not size:
        return []
    return [
        f"Probe: {count(size)} images. A drift is a mean over them; the plain distance of the diagrams is the drift "
        f"times {count(size)}^(1/p), for W2 times {number(math.sqrt(size))}. Standard errors say how far a number "
        "would move on another probe of this size, the spread of the seeds how far it moves with another training. A "
        "small probe also has a bias that no error shows: compare numbers of equal probes."
    ]


def _accuracies(source: Source) -> list[str]:
    by_data = {data: _means(source, data, "accuracy", percent) for data in source.data}
    return [
        f"Accuracy, {data}: {accuracies} on clean images. A drop can be large only if there is accuracy to lose, and "
        "smoothness changes as a model learns; compare models at equal accuracy."
        for data, accuracies in by_data.items()
        if accuracies
    ]


def _seeds(source: Source) -> list[str]:
    seeds = sorted({key.seed for key in source.summaries})
    if not seeds:
        return []
    few = " Few seeds make wide intervals: undecided means that the study could not tell." if len(seeds) < 10 else ""
    return [f"Seeds: {join_names(seeds)}, {len(source.summaries)} runs in all.{few} {_CORRELATIONS}"]


def _means(source: Source, data: str, name: str, write: Callable[[float], str]) -> str:
    """Write the mean of every model that has one; empty for fewer than two models."""
    means = {model: _mean(source.summary(data, model, name)) for model in source.models}
    texts = [f"{model} {write(mean)}" for model, mean in means.items() if math.isfinite(mean)]
    return join_names(texts) if len(texts) > 1 else ""


def _mean(values: list[float]) -> float:
    numbers = np.array(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return float(numbers.mean()) if numbers.size else math.nan
