"""Smoothness over training."""

from __future__ import annotations

import math

import numpy as np

from lightning_topolip.report.blocks import Note, Panel, Section, Table, galleries
from lightning_topolip.report.curves import Curve, curves, typical_error
from lightning_topolip.report.lines import lines
from lightning_topolip.report.paths import against_accuracy
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import MISSING, number, over_seeds
from lightning_topolip.study.judging.names import NAMES, capitalised
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import HEADLINE, VALIDATION
from lightning_topolip.topology.names import INPUT

_UNIT = "W2 per sample, scaled"
_QUANTITIES = {
    "topolip": ("how unevenly data travel", f"TopoLip ({_UNIT})"),
    "signal": ("the score in units of its noise", "TopoLip / TopoLip of an even network"),
    "speed_mean": ("how far a layer moves data", f"mean drift ({_UNIT})"),
    "speed_max": ("the farthest step", f"largest drift ({_UNIT})"),
    "epoch_drift": ("how far an epoch moves a layer", f"drift per epoch ({_UNIT}), mean over layers"),
    "path_length": ("how far a layer moved in all", f"path length ({_UNIT}), mean over layers"),
    "validation_accuracy": ("share of correct answers", "accuracy, validation"),
}
_AT_EQUAL_ACCURACY = ("topolip", "path_length")
_REFERENCES = {"signal": (1.0, "sampling alone")}
_SCORES = ("topolip", "speed_mean", "speed_max")
_INTRO = (
    "TopoLip is the mean absolute change of the drift from one layer to the next: lower is smoother. Its signal is "
    "about 1 where the unevenness is that of the sample, and well above where it is the network's. The path length is "
    "the sum of the epoch drifts so far: it does not depend on how many epochs a training takes. Models learn at "
    "different rates, so two panels have the accuracy as their axis: compare models where they are equally accurate. "
    "Scaled: in units of each layer's mean distance; a shade of two standard errors is that of one seed on the probe."
)


def training(source: Source) -> Section:
    """Show the scores and the accuracy over epochs, and score and path length against the accuracy."""
    blocks = galleries({data: _panels(source, data) for data in source.data})
    blocks += [table for table in (errors_table(source), _forms_table(source)) if table]
    missing = [Note("These results hold no scores over training.")]
    return Section("training", "Smoothness over training", _INTRO, blocks or missing)


def _panels(source: Source, data: str) -> list[Panel | None]:
    by_name = {name: curves(_rows(source, data, name), lambda row: row.epoch, source.models) for name in _QUANTITIES}
    panels = [_over_epochs(source, data, name, by_name[name]) for name in _QUANTITIES]
    accuracies = by_name["validation_accuracy"]
    for name in _AT_EQUAL_ACCURACY:
        title, y = capitalised(NAMES[name]), _QUANTITIES[name][1]
        title_of_data = f"{title} at equal accuracy{source.title_suffix(data)}"
        panels.append(against_accuracy(accuracies, by_name[name], source.styles, title_of_data, title, y))
    return [*panels, _paths_over_depth(source, data)]


def _rows(source: Source, data: str, quantity: str) -> Results:
    if quantity == "validation_accuracy":
        return source.find(data, "accuracy", condition=VALIDATION)
    rows = source.find(data, quantity, variant=HEADLINE)
    if quantity == "path_length":
        rows = rows.where(layer="")
    return Results(row for row in rows if row.layer != INPUT and not math.isnan(row.value))


def _over_epochs(source: Source, data: str, quantity: str, of_models: list[Curve]) -> Panel | None:
    meaning, y = _QUANTITIES[quantity]
    title = f"{capitalised(NAMES[quantity])}: {meaning}{source.title_suffix(data)}"
    is_share = quantity == "validation_accuracy"
    reference = _REFERENCES.get(quantity)
    return lines(of_models, source.styles, title, "epochs trained", y, share=is_share, reference=reference)


def _paths_over_depth(source: Source, data: str) -> Panel | None:
    positions = source.positions(data, "path_length")
    rows = [row for row in source.last.find(data, "path_length", variant=HEADLINE) if row.layer]
    of_models = curves(rows, lambda row: positions[row.model, row.layer], source.models)
    title = f"Path length of each layer over the whole training{source.title_suffix(data)}"
    x = "position of the layer, input 0, last layer 1"
    return lines(of_models, source.styles, title, x, f"path length ({_UNIT})")


def errors_table(source: Source) -> Table | None:
    """List the score at the last epoch with both of its errors, its noise and its signal, one row per model."""
    rows = []
    for data in source.data:
        for model in source.models:
            scores = source.last.find(data, "topolip", model=model, variant=HEADLINE)
            error = typical_error(np.array([[row.error] for row in scores])) if len(scores) else np.zeros(1)
            noise, signal = (
                over_seeds(source.last.find(data, name, model=model, variant=HEADLINE).values())
                for name in ("noise", "signal")
            )
            if error[0] or {noise, signal} != {MISSING}:
                written = number(float(error[0]), 2) if error[0] else MISSING
                rows.append([data, model, over_seeds(scores.values()), written, noise, signal])
    header = ["data", "model", "TopoLip", "standard error on the probe", "noise", "signal"]
    caption = (
        "TopoLip at the last epoch, mean ± standard deviation over seeds, and the standard error of one seed on the "
        "probe. Noise: the TopoLip that an even network would show on this probe. Signal: TopoLip / noise."
    )
    return Table(caption, header, rows) if rows else None


def _forms_table(source: Source) -> Table | None:
    """List the scores at the last epoch in every measured form, one column per model."""
    rows = []
    for data in source.data:
        for quantity in _SCORES:
            scores = source.last.find(data, quantity)
            for form in scores.unique("variant"):
                of_form = scores.where(variant=form)
                cells = [over_seeds(of_form.where(model=model).values()) for model in source.models]
                rows.append([data, NAMES[quantity], form, *cells])
    caption = (
        "Scores at the last epoch in other forms, mean ± standard deviation over seeds. Scaled: in units of each "
        "layer's mean distance; raw: in activation units."
    )
    return Table(caption, ["data", "score", "form", *source.models], rows, folded=True) if rows else None
