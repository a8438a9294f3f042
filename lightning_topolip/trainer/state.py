"""The history of a run as plain values and tensors, for checkpoints that load without executing anything."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import torch

from lightning_topolip.topology.history import History
from lightning_topolip.topology.layer import LayerTopology
from lightning_topolip.topology.layer_geometry import LayerGeometry
from lightning_topolip.topology.noise import NoiseBand
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.topology.step_lipschitz import LocalConstants

Record = TypeVar("Record", LayerGeometry, LocalConstants)

VERSION = 2


def history_state(history: History) -> dict[str, Any]:
    """Convert a history to nested dictionaries and lists of numbers, text and tensors.

    `torch.load(weights_only=True)` reads them.
    """
    return {
        "version": VERSION,
        "epochs": list(history.epochs),
        "steps": list(history.optimizer_steps),
        "curves": [dict(curve) for curve in history.curves],
        "drifts": [dict(drifts) for drifts in history.epoch_drifts],
        "last": _report_state(history.last) if history.last else None,
    }


def history_from_state(state: dict[str, Any], settings: Settings) -> History:
    """Restore the history from the result of `history_state`, to be continued with these settings.

    Raises:
        ValueError: If the state has another version or other settings.
    """
    if state.get("version") != VERSION:
        raise ValueError(
            f"its state has version {state.get('version')!r}, this package reads version {VERSION}; "
            "continue with the package that wrote it"
        )
    last = state["last"]
    if last is not None and last["settings"] != _settings_state(settings):
        raise ValueError(
            f"its state was made with {last['settings']}, the callback has {_settings_state(settings)}; "
            "use the same settings to continue the curves"
        )
    return History(
        epochs=list(state["epochs"]),
        optimizer_steps=list(state["steps"]),
        curves=[dict(curve) for curve in state["curves"]],
        epoch_drifts=[dict(drifts) for drifts in state["drifts"]],
        last=_report_from_state(last, settings) if last is not None else None,
    )


def _settings_state(settings: Settings) -> dict[str, Any]:
    """The settings that have to be the same for curves to continue."""
    compared = {known.name: getattr(settings, known.name) for known in fields(settings) if known.compare}
    return {**compared, "dimensions": list(settings.dimensions)}


def _report_state(report: SmoothnessReport) -> dict[str, Any]:
    return {
        "layers": list(report.layers),
        "topology": [layer and _topology_state(layer) for layer in report.topology],
        "drifts": {view: {part: w.tolist() for part, w in parts.items()} for view, parts in report.drifts.items()},
        "errors": torch.from_numpy(report.errors),
        "noise": torch.from_numpy(report.noise.noise),
        "noise_drifts": torch.from_numpy(report.noise.drifts),
        "noise_points": report.noise.points,
        "points": report.points,
        "settings": _settings_state(report.settings),
        "engine": report.settings.engine,
        "engine_check": report.engine_check,
        "failures": dict(report.failures),
        "local_lipschitz": report.local_lipschitz and report.local_lipschitz.to_dict(),
    }


def _report_from_state(state: dict[str, Any], settings: Settings) -> SmoothnessReport:
    return SmoothnessReport(
        layers=tuple(state["layers"]),
        topology=tuple(layer and _topology_from_state(layer) for layer in state["topology"]),
        drifts={view: {part: np.array(w) for part, w in parts.items()} for view, parts in state["drifts"].items()},
        errors=state["errors"].numpy(),
        noise=NoiseBand(state["noise_points"], state["noise"].numpy(), state["noise_drifts"].numpy()),
        points=state["points"],
        settings=replace(settings, engine=state.get("engine", "giotto")),
        failures=dict(state["failures"]),
        local_lipschitz=_read(LocalConstants, state.get("local_lipschitz")),
        engine_check=state.get("engine_check", ""),
    )


def _topology_state(layer: LayerTopology) -> dict[str, Any]:
    return {
        "scale": layer.scale,
        "raw": {k: torch.from_numpy(points) for k, points in layer.raw.items()},
        "subsets": [_topology_state(subset) for subset in layer.subsets],
        "geometry": layer.geometry and layer.geometry.to_dict(),
    }


def _topology_from_state(state: dict[str, Any]) -> LayerTopology:
    return LayerTopology(
        state["scale"],
        {k: points.numpy() for k, points in state["raw"].items()},
        tuple(map(_topology_from_state, state["subsets"])),
        geometry=_read(LayerGeometry, state.get("geometry")),
    )


def _read(kind: type[Record], values: dict[str, Any] | None) -> Record | None:
    """Read a record; states of older packages lack those that were added since."""
    return None if values is None else kind(**values)
