"""The history of a run as plain values and tensors, for checkpoints that load without executing anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch

from lightning_topolip.topology.estimate import Estimate
from lightning_topolip.topology.history import History
from lightning_topolip.topology.layer import LayerTopology
from lightning_topolip.topology.layer_geometry import LayerGeometry
from lightning_topolip.topology.plain import settings_of_values
from lightning_topolip.topology.settings import Settings, differences
from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.topology.step_lipschitz import LocalConstants

Record = TypeVar("Record", LayerGeometry, LocalConstants)

VERSION = 3  # 2: drifts that were not per sample, and no standard errors


def history_state(history: History) -> dict[str, Any]:
    """Convert a history to nested dictionaries and lists of numbers, text and tensors.

    `torch.load(weights_only=True)` reads them.
    """
    return {
        "version": VERSION,
        "epochs": list(history.epochs),
        "steps": list(history.optimizer_steps),
        "curves": [dict(curve) for curve in history.curves],
        "curve_errors": [dict(errors) for errors in history.curve_errors],
        "drifts": [dict(drifts) for drifts in history.epoch_drifts],
        "latest": {layer: _estimate_state(drift) for layer, drift in history.latest.items()},
        "change": history.change and _estimate_state(history.change),
        "path_lengths": {layer: _estimate_state(length) for layer, length in history.path_lengths.items()},
        "last": _report_state(history.last) if history.last else None,
    }


def history_from_state(state: dict[str, Any], settings: Settings) -> History:
    """Restore the history from the result of `history_state`, to be continued with these settings.

    Raises:
        ValueError: If the state has another version or other settings.
    """
    if state.get("version") != VERSION:
        raise ValueError(
            f"its state has version {state.get('version')!r}, this package reads version {VERSION}, whose drifts are "
            "per sample; continue with the package that wrote it to keep its curves"
        )
    last = state["last"]
    if last is not None and (before := settings_of_values(last["report"])) != settings:
        then, now = differences(before, settings)
        raise ValueError(
            f"its state was made with {then}, the callback has {now}; use the same settings to continue the curves"
        )
    return History(
        epochs=list(state["epochs"]),
        optimizer_steps=list(state["steps"]),
        curves=[dict(curve) for curve in state["curves"]],
        curve_errors=[dict(errors) for errors in state["curve_errors"]],
        epoch_drifts=[dict(drifts) for drifts in state["drifts"]],
        latest={layer: _estimate(drift) for layer, drift in state["latest"].items()},
        change=state["change"] and _estimate(state["change"]),
        path_lengths={layer: _estimate(length) for layer, length in state["path_lengths"].items()},
        last=_report_from_state(last, settings) if last is not None else None,
    )


def _estimate_state(estimate: Estimate) -> dict[str, Any]:
    return {"value": float(estimate.value), "parts": torch.from_numpy(estimate.parts)}


def _estimate(state: dict[str, Any]) -> Estimate:
    return Estimate(np.array(state["value"]), state["parts"].numpy())


def _report_state(report: SmoothnessReport) -> dict[str, Any]:
    """The diagrams are tensors, with those of the parts of the probe, which an error of the next drift needs."""
    return {
        "report": {**report.to_dict(), "diagrams": {}},
        "topology": [layer and _topology_state(layer) for layer in report.topology],
        "local_lipschitz": report.local_lipschitz and report.local_lipschitz.to_dict(),
    }


def _report_from_state(state: dict[str, Any], settings: Settings) -> SmoothnessReport:
    report = SmoothnessReport.from_dict(state["report"])
    return replace(
        report,
        topology=tuple(layer and _topology_from_state(layer) for layer in state["topology"]),
        settings=replace(settings, engine=report.settings.engine),
        local_lipschitz=_read(LocalConstants, state["local_lipschitz"]),
    )


def _topology_state(layer: LayerTopology) -> dict[str, Any]:
    return {
        "points": layer.points,
        "scale": layer.scale,
        "raw": {k: torch.from_numpy(points) for k, points in layer.raw.items()},
        "subsets": [_topology_state(subset) for subset in layer.subsets],
        "halves": [[_topology_state(half) for half in cut] for cut in layer.halves],
        "geometry": layer.geometry and layer.geometry.to_dict(),
    }


def _topology_from_state(state: dict[str, Any]) -> LayerTopology:
    halves = (tuple(map(_topology_from_state, cut)) for cut in state["halves"])
    return LayerTopology(
        state["points"],
        state["scale"],
        {k: points.numpy() for k, points in state["raw"].items()},
        tuple(map(_topology_from_state, state["subsets"])),
        tuple((first, second) for first, second in halves),
        _read(LayerGeometry, state["geometry"]),
    )


def _read(kind: type[Record], values: dict[str, Any] | None) -> Record | None:
    return None if values is None else kind(**values)
