"""Drifts: how far the diagrams travel on each step of a path, per sample, on the probe and on its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from lightning_topolip.topology.cuts import disjoint_subsets, halvings
from lightning_topolip.topology.engines import Diagrams
from lightning_topolip.topology.estimate import Array, Estimate
from lightning_topolip.topology.layer import LayerTopology
from lightning_topolip.topology.scores import step_distances
from lightning_topolip.topology.settings import Settings
from lightning_topolip.wasserstein import combine_dimensions

Step = tuple[LayerTopology | None, LayerTopology | None]
"""A layer before and after; None for one that could not be measured."""


def per_sample(points: int, order: float) -> float:
    """Return ``n^(-1/p)``, which turns W_p between diagrams of n samples into a mean over samples; 1 for p = inf.

    Example:
        >>> per_sample(256, 2.0), per_sample(256, math.inf)
        (0.0625, 1.0)
    """
    return 1.0 if math.isinf(order) else float(points ** (-1.0 / order))


def drifts_by_dimension(steps: Sequence[Step], view: str, points: int, settings: Settings) -> dict[str, Array]:
    """Measure the drifts of steps, by homology dimension and together.

    Args:
        steps: The steps.
        view: ``"scaled"`` or ``"raw"``.
        points: Size of the probe.
        settings: The settings of the analysis.

    Returns:
        By part, ``"all"`` first, then ``"H0"``, ``"H1"``, ..., the drift of every step, shape ``(steps, columns)``: one
        column for a probe that is taken as a whole, else one per subset; NaN next to a layer that could not be
        measured.
    """
    columns = len(disjoint_subsets(points, settings))
    parts = [_restricted(steps, _subset(index)) for index in range(columns)] or [list(steps)]
    single = {
        f"H{dimension}": _drifts(parts, view, (dimension,), settings.order).T for dimension in settings.dimensions
    }
    cells = zip(*(drifts.flat for drifts in single.values()), strict=True)
    joined = np.array([combine_dimensions(cell, settings.order) for cell in cells], dtype=np.float64)
    return {"all": joined.reshape(len(steps), len(parts)), **single}


def drifts_on_halves(steps: Sequence[Step], points: int, settings: Settings) -> Array:
    """Measure the headline's drifts on both halves of every cut, shape ``(cuts, 2, steps)``; NaN without halves."""
    cuts = len(halvings(points, settings))
    parts = [_restricted(steps, _half(cut, half)) for cut, half in np.ndindex(cuts, 2)]
    return _drifts(parts, settings.view, settings.dimensions, settings.order).reshape(cuts, 2, len(steps))


def estimate_on_parts(columns: Array, steps: Sequence[Step], points: int, settings: Settings) -> Estimate:
    """Join the headline's drifts of steps, see `drifts_by_dimension`, with what they are on the parts of the probe."""
    parts = columns.T[np.newaxis] if columns.shape[1] > 1 else drifts_on_halves(steps, points, settings)
    return Estimate(columns.mean(axis=1), parts)


def step_estimates(steps: Sequence[Step], points: int, settings: Settings) -> Estimate:
    """Estimate the headline's drifts of steps of length 1, shape ``(steps,)``; NaN next to a failed layer."""
    columns = drifts_by_dimension(steps, settings.view, points, settings)["all"]
    return estimate_on_parts(columns, steps, points, settings)


def _subset(index: int) -> Callable[[LayerTopology], LayerTopology | None]:
    return lambda layer: layer.subsets[index] if layer.subsets else None


def _half(cut: int, half: int) -> Callable[[LayerTopology], LayerTopology | None]:
    return lambda layer: layer.halves[cut][half] if layer.halves else None


def _restricted(steps: Sequence[Step], part: Callable[[LayerTopology], LayerTopology | None]) -> list[Step]:
    """The steps on a part of the probe."""
    return [(first and part(first), second and part(second)) for first, second in steps]


def _drifts(parts: Sequence[Sequence[Step]], view: str, dimensions: Sequence[int], order: float) -> Array:
    """The drifts of the same steps on parts of one size, shape ``(parts, steps)``."""
    steps = [step for part in parts for step in part]
    layers = {id(layer): layer for step in steps for layer in step if layer}
    seen = {key: _seen(layer, view, dimensions) for key, layer in layers.items()}  # once for the steps on both sides
    samples = next((layer.points for layer in layers.values()), 1)
    distances = step_distances([(seen.get(id(first)), seen.get(id(second))) for first, second in steps], order)
    drifts = np.array(distances, dtype=np.float64) * per_sample(samples, order)
    return drifts.reshape(len(parts), len(steps) // max(len(parts), 1))


def _seen(layer: LayerTopology, view: str, dimensions: Sequence[int]) -> Diagrams | None:
    """The diagrams of some dimensions in a view; None for a layer that has no scale."""
    if view == "scaled" and layer.degenerate:
        return None
    diagrams = layer.view(view)
    return {dimension: diagrams[dimension] for dimension in dimensions}
