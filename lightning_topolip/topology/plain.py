"""A smoothness report as plain values, for JSON and checkpoints, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lightning_topolip.topology.cuts import whole_size
from lightning_topolip.topology.layer import LayerTopology
from lightning_topolip.topology.scores import topolip
from lightning_topolip.topology.settings import Settings, SettingsOptions

if TYPE_CHECKING:
    from lightning_topolip.topology.smoothness_report import SmoothnessReport

DEFINITIONS = 2  # 1: drifts that were not per sample, and no standard errors
_SETTINGS = ("order", "dimensions", "reduction", "engine", "view", "include_input", "halvings", "subset_size", "seed")


def report_values(report: SmoothnessReport) -> dict[str, Any]:
    """Return a report as plain values for `json.dumps`; NaN stays a float."""
    numbers: dict[str, float] = {}
    for name, estimate in report.estimates.items():
        numbers |= {name: float(estimate.value), f"{name}_error": float(estimate.error)}
    return {
        "definitions": DEFINITIONS,
        **numbers,
        "noise": report.noise,
        "signal": report.signal,
        "points": report.points,
        "probe": report.probe,
        **settings_values(report.settings),
        "engine_check": report.engine_check,
        "layers": list(report.layers),
        "scales": [layer.scale if layer else math.nan for layer in report.topology],
        "curve_error": report.curve_error.tolist(),
        "wasserstein_curve": report.wasserstein_curve.tolist(),
        "part_curves": report.part_curves.tolist(),
        "paired_drifts": report.paired_drifts and report.paired_drifts.value.tolist(),
        "drifts": {
            view: {part: drifts.tolist() for part, drifts in parts.items()} for view, parts in report.drifts.items()
        },
        "scores": {
            view: {part: float(topolip(report.scored_drifts(view, part))) for part in parts}
            for view, parts in report.drifts.items()
        },
        "diagrams": {
            name: {f"H{dimension}": points.tolist() for dimension, points in diagrams.items()}
            for name, diagrams in report.diagrams.items()
        },
        "geometry": {name: geometry.to_dict() for name, geometry in report.geometry.items()},
        "local_lipschitz": report.local_lipschitz and report.local_lipschitz.to_dict(),
        "failures": dict(report.failures),
    }


def report_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of a report from plain values; parts of layers, geometry and Lipschitz constants are left out.

    Raises:
        ValueError: If they are no report, or one of a version with other definitions.
    """
    if values.get("definitions") != DEFINITIONS:
        raise ValueError(
            f"Argument `values` must be a report with definitions {DEFINITIONS}, whose drifts are per sample, got "
            f"{_kind(values)}; analyse the network again."
        )
    try:
        settings = settings_of_values(values)
        points, layers = int(values["points"]), tuple(values["layers"])
        size, diagrams, scales = whole_size(points, settings), values["diagrams"], values["scales"]
        steps, parts = max(len(layers) - 1, 0), np.array(values["part_curves"], dtype=np.float64)
        return {
            "layers": layers,
            "topology": tuple(
                _layer(size, scale, diagrams[name]) if name in diagrams else None
                for name, scale in zip(layers, scales, strict=True)
            ),
            "drifts": {
                view: {part: np.array(drifts, dtype=np.float64) for part, drifts in by_part.items()}
                for view, by_part in values["drifts"].items()
            },
            "part_curves": parts if parts.size else np.empty((0, 2, steps)),
            "points": points,
            "settings": settings,
            "failures": dict(values["failures"]),
            "engine_check": values["engine_check"],
            "probe": values["probe"],
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"Argument `values` must be a whole report, got one without {error}.") from error


def settings_values(settings: Settings) -> dict[str, Any]:
    """Return the settings of an analysis as plain values."""
    values = {name: getattr(settings, name) for name in _SETTINGS}
    order = "inf" if math.isinf(settings.order) else settings.order
    return {**values, "order": order, "dimensions": list(settings.dimensions)}


def settings_of_values(values: Mapping[str, Any]) -> Settings:
    """Read the settings of an analysis from plain values, among others."""
    return Settings.from_options(cast(SettingsOptions, {name: values[name] for name in _SETTINGS}))


def _layer(points: int, scale: float, diagrams: Mapping[str, Any]) -> LayerTopology:
    raw = {int(part[1:]): np.array(pairs, dtype=np.float64).reshape(-1, 2) for part, pairs in diagrams.items()}
    return LayerTopology(points, scale, raw)


def _kind(values: Mapping[str, Any]) -> str:
    return "one without errors, of an older version" if "noise_splits" in values else "something else"
