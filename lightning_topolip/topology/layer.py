"""Scale and diagrams of a layer at one moment, and the drifts along a path of such."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.diagrams import Diagrams, persistence_diagrams, scaled
from lightning_topolip.topology.layer_geometry import LayerGeometry, geometry_of_layer, with_stretch
from lightning_topolip.topology.matrices import scale
from lightning_topolip.topology.scores import drift
from lightning_topolip.topology.settings import Settings

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Path = Sequence["LayerTopology | None"]

FEWEST_TO_HALVE = 6


@dataclass(frozen=True)
class LayerTopology:
    """One layer at one moment: its scale and its diagrams.

    Attributes:
        scale: Mean of the off-diagonal distances, in the unit of the activations.
        raw: Diagrams of the distances, by dimension, each of shape ``(k, 2)``; of the first subset where there are any.
        subsets: The same of every disjoint subset of a large probe; drifts are means over them.
        halves: Pairs of disjoint samples, for the noise band: the halves of every random split, or pairs of subsets.
        geometry: What else the whole probe's distances tell; None where it was not asked for.
    """

    scale: float
    raw: Diagrams
    subsets: tuple[LayerTopology, ...] = ()
    halves: tuple[tuple[LayerTopology, LayerTopology], ...] = ()
    geometry: LayerGeometry | None = None

    def view(self, view: str) -> Diagrams:
        """Give the diagrams as they are (``"raw"``) or in units of the scale (``"scaled"``)."""
        return self.raw if view == "raw" else scaled(self.raw, 1.0 / self.scale)

    @property
    def degenerate(self) -> bool:
        """Whether all points coincide, so that the scaled view does not exist."""
        return not self.scale > 0.0


def layer_topology(distances: npt.ArrayLike, settings: Settings) -> LayerTopology:
    """Compute scale and diagrams of one layer, on the probe and its halves, or on its subsets.

    Args:
        distances: Distance matrix of the layer, shape ``(n, n)``.
        settings: Dimensions, engine, number and seed of the halvings, size of the subsets, whether to add the
            geometry.

    Returns:
        The layer's topology.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.
    """
    matrix = np.asarray(distances, dtype=np.float32)

    def of(chosen: Indices) -> LayerTopology:
        return _topology(matrix[np.ix_(chosen, chosen)], settings)

    subsets = tuple(map(of, disjoint_subsets(len(matrix), settings)))
    geometry = geometry_of_layer(matrix) if settings.geometry else None
    if subsets:
        pairs = tuple(zip(subsets[::2], subsets[1::2], strict=False))[: settings.noise_splits]
        return LayerTopology(scale(matrix), subsets[0].raw, subsets, pairs, geometry)
    halves = tuple((of(first), of(second)) for first, second in halvings(len(matrix), settings))
    return replace(_topology(matrix, settings), halves=halves, geometry=geometry)


def topology_of(
    distances: Mapping[str, npt.NDArray[np.float32] | None],
    settings: Settings,
    on_layer: Callable[[], object] = lambda: None,
) -> dict[str, LayerTopology | None]:
    """Compute scale and diagrams of several layers.

    Args:
        distances: Distance matrix by layer, each of shape ``(n, n)``; None for a layer that could not be measured.
        settings: As `layer_topology` takes them.
        on_layer: Called whenever a layer is done, to show progress.

    Returns:
        The topology by layer, None where there is no matrix.

    Raises:
        ValueError: If a matrix is not a distance matrix; the text names the layer.
    """
    found: dict[str, LayerTopology | None] = {}
    for name, matrix in distances.items():
        found[name] = None if matrix is None else named_topology(name, matrix, settings)
        on_layer()
    return found


def named_topology(name: str, distances: npt.ArrayLike, settings: Settings) -> LayerTopology:
    """Compute `layer_topology`, with errors that name the layer.

    Args:
        name: The layer.
        distances: Its distance matrix, shape ``(n, n)``.
        settings: As `layer_topology` takes them.

    Returns:
        The layer's topology.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.
    """
    try:
        return layer_topology(distances, settings)
    except ValueError as error:
        raise ValueError(f"Layer {name!r}: {error}") from error


def with_stretches(
    topology: Mapping[str, LayerTopology | None],
    distances: Mapping[str, npt.NDArray[np.float32] | None],
    input_distances: npt.NDArray[np.float32] | None,
) -> dict[str, LayerTopology | None]:
    """Add to the geometry of several layers how far the network up to there stretches a pair of samples.

    Args:
        topology: By layer, as `topology_of` gives it.
        distances: Distance matrices of the same layers.
        input_distances: Distance matrix of the input; None where it could not be measured.

    Returns:
        The same topology with `LayerGeometry.pairwise_lipschitz`.
    """

    def stretched(found: LayerTopology | None, matrix: npt.NDArray[np.float32] | None) -> LayerTopology | None:
        if found is None or found.geometry is None or matrix is None:
            return found
        return replace(found, geometry=with_stretch(found.geometry, matrix, input_distances))

    return {name: stretched(found, distances[name]) for name, found in topology.items()}


def halvings(points: int, settings: Settings) -> list[tuple[Indices, Indices]]:
    """Split the probe into two disjoint random halves, again and again; the same for every layer and process.

    Args:
        points: Size n of the probe; with fewer than 6 there are no halves to compare, since two points always have the
            same scaled diagram.
        settings: Number of splits and seed.

    Returns:
        Indices of the two halves of every split, each of shape ``(n // 2,)``.
    """
    half, splits = points // 2, settings.noise_splits if points >= FEWEST_TO_HALVE else 0
    generator = np.random.default_rng(settings.seed)
    orders = [generator.permutation(points) for _ in range(splits)]
    return [(order[:half], order[half : 2 * half]) for order in orders]


def disjoint_subsets(points: int, settings: Settings) -> list[Indices]:
    """Cut a large probe into disjoint random subsets; the same for every layer and process.

    Args:
        points: Size n of the probe.
        settings: Size of a subset and seed.

    Returns:
        Indices of every subset, each of shape ``(subset_size,)``; empty for a probe that is taken as a whole.
    """
    size = settings.subset_size
    if size is None or points < 2 * size:
        return []
    order = np.random.default_rng(settings.seed).permutation(points)
    return [order[start : start + size] for start in range(0, points - size + 1, size)]


def path_drifts(topology: Path, view: str, dimensions: Sequence[int], order: float) -> Array:
    """Measure the drift of every step of a path.

    Args:
        topology: Layers in the order of the path; None for one that could not be measured.
        view: ``"scaled"`` or ``"raw"``.
        dimensions: Homology dimensions that count.
        order: Order p of the Wasserstein distance.

    Returns:
        Drifts, shape ``(len(topology) - 1, subsets)``, one column for a probe that is taken as a whole; NaN beside a
        layer that could not be measured.
    """
    samples = [(found.subsets or (found,)) if found else None for found in topology]
    count = max((len(found) for found in samples if found), default=1)
    columns = [[found[index] if found else None for found in samples] for index in range(count)]
    drifts = [
        [step_drift(first, second, view, dimensions, order) for first, second in itertools.pairwise(column)]
        for column in columns
    ]
    return np.array(drifts, dtype=np.float64).T


def step_drift(
    first: LayerTopology | None,
    second: LayerTopology | None,
    view: str,
    dimensions: Sequence[int],
    order: float,
) -> float:
    """Measure the drift of one step; NaN where one of the two could not be measured or has no scale.

    Args:
        first: Topology before the step.
        second: Topology after the step.
        view: ``"scaled"`` or ``"raw"``.
        dimensions: Homology dimensions that count.
        order: Order p of the Wasserstein distance.

    Returns:
        The drift for a step of length 1.
    """
    if first is None or second is None or (view == "scaled" and (first.degenerate or second.degenerate)):
        return math.nan
    if first.subsets:
        pairs = zip(first.subsets, second.subsets, strict=True)
        return float(np.mean([step_drift(here, there, view, dimensions, order) for here, there in pairs]))
    before, after = first.view(view), second.view(view)
    return drift({k: before[k] for k in dimensions}, {k: after[k] for k in dimensions}, order)


def _topology(matrix: npt.NDArray[np.float32], settings: Settings) -> LayerTopology:
    return LayerTopology(scale(matrix), persistence_diagrams(matrix, settings.dimensions, settings.engine))
