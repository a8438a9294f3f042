"""Persistence diagrams of a few layers, for the report's figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_topolip.topology.smoothness_report import SmoothnessReport


def diagrams_of(report: SmoothnessReport) -> dict[str, dict[str, Any]]:
    """Return the scale and the raw diagrams (``H0``, ``H1``) of the first, the middle and the last layer.

    The input counts as a layer only if there are at most three with a topology.
    """
    measured = [(name, layer) for name, layer in zip(report.layers, report.topology, strict=True) if layer]
    candidates = measured[1:] if len(measured) > 3 else measured
    indices = sorted({0, len(candidates) // 2, len(candidates) - 1}) if candidates else []
    return {
        name: {"scale": layer.scale, **{f"H{k}": np.asarray(points).tolist() for k, points in layer.raw.items()}}
        for name, layer in (candidates[index] for index in indices)
    }
