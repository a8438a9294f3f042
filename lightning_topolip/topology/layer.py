"""The scale and diagrams of a layer at one moment, and the drifts along a path of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lightning_topolip.topology.diagrams import diagrams_of_float32, scaled
from lightning_topolip.topology.engine_choice import process_choice
from lightning_topolip.topology.engines import Diagrams
from lightning_topolip.topology.layer_geometry import LayerGeometry, geometry_of_layer, with_stretch
from lightning_topolip.topology.matrices import float32_matrix, scale
from lightning_topolip.topology.measurement import Distances
from lightning_topolip.topology.scores import drifts_along
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
        raw: Diagrams of the distances, by dimension, each of shape ``(k, 2)``; those of the first subset if there are
            subsets.
        subsets: The topology of every disjoint subset of a large probe; drifts are means over them.
        halves: Pairs of disjoint samples, for the noise band: the halves of every random split, or pairs of subsets.
        geometry: Geometry of the whole probe; None unless it was requested.
    """

    scale: float
    raw: Diagrams
    subsets: tuple[LayerTopology, ...] = ()
    halves: tuple[tuple[LayerTopology, LayerTopology], ...] = ()
    geometry: LayerGeometry | None = None

    def view(self, view: str) -> Diagrams:
        """Return the diagrams as they are (``"raw"``) or in units of the scale (``"scaled"``)."""
        return self.raw if view == "raw" else scaled(self.raw, 1.0 / self.scale)

    @property
    def degenerate(self) -> bool:
        """Whether all points coincide, so that the scaled view does not exist."""
        return not self.scale > 0.0


def layer_topology(distances: npt.ArrayLike, settings: Settings) -> LayerTopology:
    """Compute scale and diagrams of one layer, shape ``(n, n)``, on the probe and its halves, or on its subsets.

    Raises:
        ValueError: If ``distances`` is not a distance matrix.
    """
    matrix = np.asarray(distances)
    matrix = matrix if matrix.dtype == np.float32 else matrix.astype(np.float64)
    rounded, exponent = float32_matrix(matrix)
    engine = process_choice(settings.engine).name

    def restricted(samples: Indices) -> LayerTopology:
        chosen = np.ix_(samples, samples)
        diagrams = diagrams_of_float32(rounded[chosen], exponent, settings.dimensions, engine)
        return LayerTopology(scale(matrix[chosen]), diagrams)

    subsets = tuple(map(restricted, disjoint_subsets(len(matrix), settings)))
    geometry = geometry_of_layer(matrix) if settings.geometry else None
    if subsets:
        pairs = tuple(zip(subsets[::2], subsets[1::2], strict=False))[: settings.noise_splits]
        return LayerTopology(scale(matrix), subsets[0].raw, subsets, pairs, geometry)
    halves = tuple((restricted(first), restricted(second)) for first, second in halvings(len(matrix), settings))
    return replace(restricted(np.arange(len(matrix))), halves=halves, geometry=geometry)


def topology_of(
    distances: Distances, settings: Settings, on_layer: Callable[[], object] = lambda: None
) -> dict[str, LayerTopology | None]:
    """Compute `layer_topology` of several layers; None for a layer without a matrix.

    ``on_layer`` is called whenever a layer is done, to show progress.

    Raises:
        ValueError: If a matrix is not a distance matrix; the message names the layer.
    """
    topology: dict[str, LayerTopology | None] = {}
    for name, matrix in distances.items():
        topology[name] = None if matrix is None else named_topology(name, matrix, settings)
        on_layer()
    return topology


def named_topology(name: str, distances: npt.ArrayLike, settings: Settings) -> LayerTopology:
    """Compute `layer_topology`, with errors that name the layer."""
    try:
        return layer_topology(distances, settings)
    except ValueError as error:
        raise ValueError(f"Layer {name!r}: {error}") from error


def with_stretches(
    topology: Mapping[str, LayerTopology | None],
    distances: Distances,
    input_distances: npt.NDArray[np.float32] | None,
) -> dict[str, LayerTopology | None]:
    """Add the largest stretch of a pair of samples from the input to each layer, `LayerGeometry.pairwise_lipschitz`."""

    def stretched(layer: LayerTopology | None, matrix: npt.NDArray[np.float32] | None) -> LayerTopology | None:
        if layer is None or layer.geometry is None or matrix is None:
            return layer
        return replace(layer, geometry=with_stretch(layer.geometry, matrix, input_distances))

    return {name: stretched(layer, distances[name]) for name, layer in topology.items()}


def halvings(points: int, settings: Settings) -> list[tuple[Indices, Indices]]:
    """Split the probe into two disjoint random halves several times; the same for every layer and process.

    A probe of fewer than 6 points has no halves to compare, because two points always have the same scaled diagram.

    Returns:
        Indices of the two halves of every split, each of shape ``(n // 2,)``.
    """
    half, splits = points // 2, settings.noise_splits if points >= FEWEST_TO_HALVE else 0
    generator = np.random.default_rng(settings.seed)
    orders = [generator.permutation(points) for _ in range(splits)]
    return [(order[:half], order[half : 2 * half]) for order in orders]


def disjoint_subsets(points: int, settings: Settings) -> list[Indices]:
    """Cut a large probe into disjoint random subsets; the same for every layer and process.

    Returns:
        Indices of every subset, each of shape ``(whole_size,)``; empty for a probe that is taken as a whole.
    """
    size = whole_size(points, settings)
    if size == points:
        return []
    order = np.random.default_rng(settings.seed).permutation(points)
    return [order[start : start + size] for start in range(0, points - size + 1, size)]


def whole_size(points: int, settings: Settings) -> int:
    """Number of samples whose diagrams are computed at once: the probe, or a subset of it.

    Example:
        >>> [whole_size(points, Settings(subset_size=512)) for points in (512, 600, 1024, 1100)]
        [512, 300, 512, 512]
    """
    size = settings.subset_size
    if size is None or points < max(size + 1, FEWEST_TO_HALVE):
        return points
    return min(size, points // 2)


def path_drifts(topology: Path, view: str, dimensions: Sequence[int], order: float) -> Array:
    """Measure the drift of every step of a path, in the given homology dimensions together.

    Returns:
        Drifts, shape ``(len(topology) - 1, subsets)``, one column for a probe that is taken as a whole; NaN next to a
        layer that could not be measured.
    """
    subsets = [(layer.subsets or (layer,)) if layer else None for layer in topology]
    count = max((len(parts) for parts in subsets if parts), default=1)
    columns = [[parts[index] if parts else None for parts in subsets] for index in range(count)]
    drifts = [drifts_along([_seen(layer, view, dimensions) for layer in column], order) for column in columns]
    return np.array(drifts, dtype=np.float64).T


def step_drift(
    first: LayerTopology | None,
    second: LayerTopology | None,
    view: str,
    dimensions: Sequence[int],
    order: float,
) -> float:
    """Measure the drift of one step of length 1; NaN if one of the two could not be measured or has no scale."""
    return float(path_drifts((first, second), view, dimensions, order).mean())


def _seen(layer: LayerTopology | None, view: str, dimensions: Sequence[int]) -> Diagrams | None:
    """The diagrams of some dimensions in a view; None for a layer that could not be measured or has no scale."""
    if layer is None or (view == "scaled" and layer.degenerate):
        return None
    diagrams = layer.view(view)
    return {dimension: diagrams[dimension] for dimension in dimensions}
