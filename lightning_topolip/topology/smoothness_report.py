"""The report of one analysis: smoothness over the depth of a network, and from one epoch to another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lightning_topolip.topology.engine_choice import EngineChoice, process_choice
from lightning_topolip.topology.engines import Diagrams
from lightning_topolip.topology.layer import (
    Array,
    LayerTopology,
    Path,
    disjoint_subsets,
    path_drifts,
    step_drift,
    topology_of,
    whole_size,
    with_stretches,
)
from lightning_topolip.topology.layer_geometry import LayerGeometry
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.noise import NoiseBand, noise_band
from lightning_topolip.topology.scores import speed_max, speed_mean, topolip
from lightning_topolip.topology.settings import VIEWS, Settings
from lightning_topolip.topology.step_lipschitz import LocalConstants
from lightning_topolip.wasserstein import combine_dimensions


@dataclass(frozen=True)
class SmoothnessReport:
    """The result of one analysis along the depth of a network.

    Attributes:
        layers: Names in the order of execution, ``"<input>"`` first if the input is a tensor of real numbers.
        topology: Scale and raw diagrams of every layer; None for a layer that could not be measured.
        drifts: By view (``"scaled"``, ``"raw"``) and part (``"all"``, ``"H0"``, ``"H1"``, ...) the drift of every
            step from one layer to the next, shape ``(len(layers) - 1,)``; NaN next to a layer that could not be
            measured.
        errors: Standard error over subsets of every drift of the curve; NaN for a probe that is taken as a whole.
        noise: The noise band of the headline's view.
        points: Size n of the probe.
        settings: The settings of the analysis; ``settings.engine`` is the engine that computed it, by its own name.
        failures: Why a layer is missing or NaN, by name.
        local_lipschitz: Local Lipschitz constants of the steps; None unless they were requested.
        engine_check: How the engine that ``"auto"`` chose was checked, in words; empty for one that was named.
    """

    layers: tuple[str, ...]
    topology: tuple[LayerTopology | None, ...]
    drifts: dict[str, dict[str, Array]]
    errors: Array
    noise: NoiseBand
    points: int
    settings: Settings
    failures: dict[str, str] = field(default_factory=dict)
    local_lipschitz: LocalConstants | None = None
    engine_check: str = ""

    @property
    def curve(self) -> Array:
        """The smoothness curve: the headline's drift of every step, the step from the input included."""
        return self.drifts[self.settings.view]["all"]

    @property
    def sample(self) -> str:
        """The sample of the drifts in words: ``"256 samples"``, ``"4 subsets of 512 samples"``."""
        subsets = disjoint_subsets(self.points, self.settings)
        return f"{len(subsets)} subsets of {len(subsets[0])} samples" if subsets else f"{self.points} samples"

    @property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """The two layers of every step of the curve."""
        return tuple(zip(self.layers[:-1], self.layers[1:], strict=True))

    @property
    def score(self) -> float:
        """TopoLip of the headline over the scored steps; NaN for fewer than two."""
        return topolip(self.scored_drifts())

    @property
    def speed_mean(self) -> float:
        """Mean drift of the headline over the scored steps; NaN for none."""
        return speed_mean(self.scored_drifts())

    @property
    def speed_max(self) -> float:
        """Largest drift of the headline over the scored steps; NaN for none."""
        return speed_max(self.scored_drifts())

    @property
    def input_drift(self) -> float:
        """Drift from the input to the first layer; NaN if the input is not a tensor of real numbers."""
        return float(self.curve[0]) if self._starts_at_input and self.curve.size else math.nan

    @property
    def diagrams(self) -> dict[str, Diagrams]:
        """Raw diagrams by layer and dimension, without the layers that could not be measured."""
        return {name: layer.raw for name, layer in zip(self.layers, self.topology, strict=True) if layer}

    @property
    def geometry(self) -> dict[str, LayerGeometry]:
        """Geometry of every layer, NaN for one that could not be measured; empty without ``Settings.geometry``."""
        if not self.settings.geometry:
            return {}
        layers = zip(self.layers, self.topology, strict=True)
        return {name: (layer and layer.geometry) or LayerGeometry() for name, layer in layers}

    def scored_drifts(self, view: str | None = None, part: str = "all") -> Array:
        """Select the drifts that make up speed and TopoLip.

        Args:
            view: ``"scaled"`` or ``"raw"``; the headline's by default.
            part: ``"all"`` for the combined dimensions, or ``"H0"``, ``"H1"``, ...

        Returns:
            Drifts over the network's own layers, with the input's step only under ``include_input``.
        """
        drifts = self.drifts[view or self.settings.view][part]
        return drifts[1:] if self._starts_at_input and not self.settings.include_input else drifts

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values for `json.dumps`; NaN stays a float."""
        return {
            "score": self.score,
            "speed_mean": self.speed_mean,
            "speed_max": self.speed_max,
            "input_drift": self.input_drift,
            "noise": self.noise.level,
            "noise_of_splits": self.noise.noise.tolist(),
            "signal": self.noise.signal,
            "errors": self.errors.tolist(),
            "points": self.points,
            "subset_size": self.settings.subset_size,
            "order": "inf" if math.isinf(self.settings.order) else self.settings.order,
            "view": self.settings.view,
            "dimensions": list(self.settings.dimensions),
            "reduction": self.settings.reduction,
            "engine": self.settings.engine,
            "engine_check": self.engine_check,
            "include_input": self.settings.include_input,
            "noise_splits": self.settings.noise_splits,
            "seed": self.settings.seed,
            "layers": list(self.layers),
            "scales": [layer.scale if layer else math.nan for layer in self.topology],
            "drifts": {
                view: {part: values.tolist() for part, values in parts.items()} for view, parts in self.drifts.items()
            },
            "scores": {
                view: {part: topolip(self.scored_drifts(view, part)) for part in parts}
                for view, parts in self.drifts.items()
            },
            "diagrams": {
                name: {f"H{dimension}": points.tolist() for dimension, points in diagrams.items()}
                for name, diagrams in self.diagrams.items()
            },
            "geometry": {name: geometry.to_dict() for name, geometry in self.geometry.items()},
            "local_lipschitz": self.local_lipschitz and self.local_lipschitz.to_dict(),
            "failures": dict(self.failures),
        }

    @property
    def _starts_at_input(self) -> bool:
        return bool(self.layers) and self.layers[0] == INPUT


def smoothness_report(
    measurement: Measurement,
    settings: Settings | None = None,
    *,
    engine: EngineChoice | None = None,
    on_layer: Callable[[], object] = lambda: None,
) -> SmoothnessReport:
    """Compute everything that depends on the distance matrices alone.

    Args:
        measurement: Distance matrices of the layers in the order of execution.
        settings: The settings of the analysis; the defaults of `Settings` if None.
        engine: The choice of the engine, shared by the analyses of a fit; that of this process if None.
        on_layer: Called whenever the persistence of a layer is done, to show progress.

    Returns:
        The report.

    Raises:
        ValueError: If a matrix is not a distance matrix.
        EngineError: If the engine fails.

    Example:
        >>> import torch
        >>> from lightning_topolip import distance_matrix
        >>> clouds = {str(i): torch.randn(20, 3) for i in range(3)}
        >>> measurement = Measurement({name: distance_matrix(cloud).numpy() for name, cloud in clouds.items()})
        >>> report = smoothness_report(measurement)
        >>> report.layers, report.curve.shape
        (('0', '1', '2'), (2,))
    """
    options, distances = settings or Settings(), measurement.distances
    engine = engine or process_choice(options.engine)
    topology = engine.run(
        lambda name: topology_of(distances, replace(options, engine=name), on_layer),
        distances.values(),
        options.dimensions,
        whole_size(measurement.points, options),
    )
    if options.geometry and INPUT in distances:
        topology = with_stretches(topology, distances, distances[INPUT])
    options = replace(options, engine=engine.name)
    return report_of_topology(topology, options, measurement.failures, measurement.points, engine.check)


def report_of_topology(
    topology: Mapping[str, LayerTopology | None],
    settings: Settings,
    failures: Mapping[str, str],
    points: int,
    engine_check: str = "",
) -> SmoothnessReport:
    """Compute everything that depends on the diagrams alone.

    Args:
        topology: Every layer in the order of execution, ``"<input>"`` first if there is one.
        settings: The settings of the analysis, with the engine that computed the diagrams.
        failures: By layer why it could not be measured.
        points: Size of the probe.
        engine_check: How the engine was checked.
    """
    path = list(topology.values())
    coincident = "all points coincide, so the scaled view is not defined; its drifts are NaN"
    degenerate = {name: coincident for name, layer in topology.items() if layer and layer.degenerate}
    parts = {view: _parts(path, view, settings) for view in VIEWS}
    return SmoothnessReport(
        layers=tuple(topology),
        topology=tuple(path),
        drifts={
            view: {part: drifts.mean(axis=1) for part, drifts in of_view.items()} for view, of_view in parts.items()
        },
        errors=_standard_errors(parts[settings.view]["all"]),
        noise=noise_band([layer for name, layer in topology.items() if name != INPUT], points, settings),
        points=points,
        settings=settings,
        failures={**failures, **degenerate},
        engine_check=engine_check,
    )


def epoch_drifts(previous: SmoothnessReport, current: SmoothnessReport, interval: float = 1.0) -> dict[str, float]:
    """Measure the drift per epoch of every layer between two analyses, in the headline's view.

    Args:
        previous: The earlier analysis.
        current: The later analysis, with the same settings and probe.
        interval: Epochs from one to the other.

    Returns:
        By layer that both hold, without the input; NaN for a layer that could not be measured.

    Raises:
        ValueError: If the settings or the probe sizes differ, or the interval is not positive.
    """
    if previous.settings != current.settings or previous.points != current.points:
        raise ValueError(
            "Arguments `previous` and `current` must come from the same settings and probe size, "
            f"got {previous.settings}, {previous.points} points and {current.settings}, {current.points} points."
        )
    if not interval > 0:
        raise ValueError(f"Argument `interval` must be positive, got {interval!r}.")
    settings, before = current.settings, dict(zip(previous.layers, previous.topology, strict=True))
    return {
        name: step_drift(before[name], layer, settings.view, settings.dimensions, settings.order) / interval
        for name, layer in zip(current.layers, current.topology, strict=True)
        if name != INPUT and name in before
    }


def _parts(topology: Path, view: str, settings: Settings) -> dict[str, Array]:
    single = {f"H{k}": path_drifts(topology, view, (k,), settings.order) for k in settings.dimensions}
    cells = zip(*(drifts.flat for drifts in single.values()), strict=True)
    joined = np.array([combine_dimensions(cell, settings.order) for cell in cells], dtype=np.float64)
    return {"all": joined.reshape(next(iter(single.values())).shape), **single}


def _standard_errors(drifts: Array) -> Array:
    steps, subsets = drifts.shape
    errors: Array = drifts.std(axis=1, ddof=1) / math.sqrt(subsets) if subsets > 1 else np.full(steps, math.nan)
    return errors
