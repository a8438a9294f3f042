"""The report of one analysis: smoothness over the depth of a network, every number with its error."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_topolip.topology.cuts import disjoint_subsets, whole_size
from lightning_topolip.topology.drifts import drifts_by_dimension, estimate_on_parts, per_sample
from lightning_topolip.topology.engine_choice import EngineChoice, process_choice
from lightning_topolip.topology.engines import Diagrams
from lightning_topolip.topology.estimate import Array, Estimate, deviations, without_error
from lightning_topolip.topology.layer import LayerTopology, topology_of, with_stretches
from lightning_topolip.topology.layer_geometry import LayerGeometry
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.pairing import paired_drifts
from lightning_topolip.topology.plain import report_fields, report_values
from lightning_topolip.topology.report_table import report_table
from lightning_topolip.topology.scores import speed_max, speed_mean, topolip
from lightning_topolip.topology.settings import VIEWS, Settings
from lightning_topolip.topology.step_lipschitz import LocalConstants
from lightning_topolip.topology.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class SmoothnessReport:
    """The result of one analysis along the depth of a network. ``print(report)`` shows its numbers in ten lines.

    Drifts are per sample, ``n^(-1/p) W_p``. Errors are standard errors: how far a number would move on another probe
    of the same size, from the same halves or subsets of the probe in every layer, epoch and model, see `Estimate`.

    Attributes:
        layers: Names in the order of execution, ``"<input>"`` first if the input is a tensor of real numbers.
        topology: Scale and raw diagrams of every layer; None for a layer that could not be measured.
        drifts: By view (``"scaled"``, ``"raw"``) and part (``"all"``, ``"H0"``, ``"H1"``, ...) the drift of every
            step from one layer to the next, shape ``(len(layers) - 1,)``; NaN next to a layer that could not be
            measured.
        part_curves: The smoothness curve on the disjoint parts of the probe, shape
            ``(cuts, parts, len(layers) - 1)``: the two halves of every cut, or the subsets of a large probe.
        points: Size n of the probe.
        settings: The settings of the analysis; ``settings.engine`` is the engine that computed it, by its own name.
        failures: Why a layer is missing or NaN, by name.
        local_lipschitz: Local Lipschitz constants of the steps; None unless they were requested.
        paired_drifts: The drift of every step that keeps the pairing of samples, see `paired_drift`; None unless it was
            requested.
        engine_check: How the engine that ``"auto"`` chose was checked, in words; empty for one that was named.
        probe: A fingerprint of the samples; empty if it is not known.
    """

    layers: tuple[str, ...]
    topology: tuple[LayerTopology | None, ...]
    drifts: dict[str, dict[str, Array]]
    part_curves: Array
    points: int
    settings: Settings
    failures: dict[str, str] = field(default_factory=dict)
    local_lipschitz: LocalConstants | None = None
    paired_drifts: Estimate | None = None
    engine_check: str = ""
    probe: str = ""

    @property
    def curve(self) -> Array:
        """The smoothness curve: the headline's drift of every step, the step from the input included."""
        return self.drifts[self.settings.view]["all"]

    @property
    def curve_error(self) -> Array:
        """Standard error of every drift of the curve, shape ``(len(layers) - 1,)``; NaN without parts."""
        return self.curve_estimate.error

    @property
    def curve_estimate(self) -> Estimate:
        """The curve with what it is on the parts of the probe."""
        return Estimate(self.curve, self.part_curves)

    @property
    def wasserstein_curve(self) -> Array:
        """The plain W_p between the diagrams of every step, ``n^(1/p)`` times the drift, as in the paper."""
        return self.curve / per_sample(whole_size(self.points, self.settings), self.settings.order)

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
    def scored(self) -> Estimate:
        """The drifts that make up speed and TopoLip: those of the curve, without the input's step by default."""
        return self.curve_estimate.apply(self._scored)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The score, the speeds and the input drift by name, with what they are on the parts of the probe."""
        scored, curve = self.scored, self.curve_estimate
        first = (lambda drifts: drifts[..., 0]) if self._starts_at_input and self.curve.size else _undefined
        return {
            "score": scored.apply(topolip),
            "speed_mean": scored.apply(speed_mean),
            "speed_max": scored.apply(speed_max),
            "input_drift": curve.apply(first),
        }

    @property
    def paired_speed(self) -> Estimate:
        """Mean of the scored paired drifts; NaN unless they were requested."""
        return (self.paired_drifts or without_error(np.empty(0))).apply(self._scored).apply(speed_mean)

    @property
    def score(self) -> float:
        """TopoLip of the headline over the scored steps; NaN for fewer than two."""
        return float(self.estimates["score"].value)

    @property
    def score_error(self) -> float:
        """Standard error of the score."""
        return float(self.estimates["score"].error)

    @property
    def speed_mean(self) -> float:
        """Mean drift of the headline over the scored steps; NaN for none."""
        return float(self.estimates["speed_mean"].value)

    @property
    def speed_mean_error(self) -> float:
        """Standard error of the mean speed."""
        return float(self.estimates["speed_mean"].error)

    @property
    def speed_max(self) -> float:
        """Largest drift of the headline over the scored steps; NaN for none."""
        return float(self.estimates["speed_max"].value)

    @property
    def speed_max_error(self) -> float:
        """Standard error of the largest speed."""
        return float(self.estimates["speed_max"].error)

    @property
    def input_drift(self) -> float:
        """Drift from the input to the first layer; NaN if the input is not a tensor of real numbers."""
        return float(self.estimates["input_drift"].value)

    @property
    def input_drift_error(self) -> float:
        """Standard error of the input drift."""
        return float(self.estimates["input_drift"].error)

    @property
    def noise(self) -> float:
        """The TopoLip that a perfectly even network would show on this probe, from half the difference of halves."""
        unevenness = topolip(deviations(self.scored.parts))
        return float(unevenness.mean()) if unevenness.size else math.nan

    @property
    def signal(self) -> float:
        """The score in units of the noise: about 1 is due to sampling, well above is due to the network."""
        return self.score / self.noise if self.noise > 0 else math.nan

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
        return self._scored(self.drifts[view or self.settings.view][part])

    @property
    def table(self) -> Table:
        """The numbers of the report with their errors, for people."""
        return report_table(self)

    def __repr__(self) -> str:
        """Return the table as text."""
        return str(self.table)

    def _repr_html_(self) -> str:
        """Return the table as a notebook shows it."""
        return self.table._repr_html_()

    def plot(self) -> Figure:
        """Draw the smoothness curve with a band of two standard errors."""
        from lightning_topolip.display.plots import report_figure

        return report_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values for `json.dumps`, see `report_values`; NaN stays a float."""
        return report_values(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SmoothnessReport:
        """Read a report from the result of `to_dict`, without what was computed on request.

        Raises:
            ValueError: If it is no such result, or one of a version with other definitions.
        """
        return cls(**report_fields(values))

    @property
    def _starts_at_input(self) -> bool:
        return bool(self.layers) and self.layers[0] == INPUT

    def _scored(self, drifts: Array) -> Array:
        return drifts[..., 1:] if self._starts_at_input and not self.settings.include_input else drifts


def _undefined(drifts: Array) -> Array:
    return np.full(drifts.shape[:-1], math.nan)


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
    return report_of_topology(topology, replace(options, engine=engine.name), measurement, engine.check)


def report_of_topology(
    topology: Mapping[str, LayerTopology | None],
    settings: Settings,
    measurement: Measurement,
    engine_check: str = "",
) -> SmoothnessReport:
    """Compute everything that depends on the diagrams alone.

    Args:
        topology: Every layer in the order of execution, ``"<input>"`` first if there is one.
        settings: The settings of the analysis, with the engine that computed the diagrams.
        measurement: Why a layer could not be measured, and the probe; its distances are used for `paired_drifts` alone.
        engine_check: How the engine was checked.
    """
    path, points = tuple(topology.values()), measurement.points
    steps = list(itertools.pairwise(path))
    coincident = "all points coincide, so the scaled view is not defined; its drifts are NaN"
    degenerate = {name: coincident for name, layer in topology.items() if layer and layer.degenerate}
    columns = {view: drifts_by_dimension(steps, view, points, settings) for view in VIEWS}
    return SmoothnessReport(
        layers=tuple(topology),
        topology=path,
        drifts={view: {part: w.mean(axis=1) for part, w in parts.items()} for view, parts in columns.items()},
        part_curves=estimate_on_parts(columns[settings.view]["all"], steps, points, settings).parts,
        points=points,
        settings=settings,
        failures={**measurement.failures, **degenerate},
        paired_drifts=paired_drifts(measurement, settings) if settings.pairing and measurement.distances else None,
        engine_check=engine_check,
        probe=measurement.probe,
    )
