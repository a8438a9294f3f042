"""The sample of an epoch that a metric keeps in its states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_topolip.metric.reservoir import COUNTS, DTYPES, LISTS, Layers, Reservoir
from lightning_topolip.metric.sampling import Draw
from lightning_topolip.network.measure import distances_of_rows
from lightning_topolip.network.samples import samples_in
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.settings import Reduction


@dataclass(frozen=True)
class KeptRows:
    """The rows of a batch that are kept.

    Attributes:
        draw: The choice of the rows; None for a batch without samples.
        layers: The rows by layer, each of shape ``(len(draw.chosen), ...)``.
    """

    draw: Draw | None = None
    layers: dict[str, Tensor] = field(default_factory=dict)


class EpochSample:
    """A uniform sample of an epoch, kept in the states of a metric, which torchmetrics joins and resets.

    torchmetrics needs the same states in every process and after every reset, but the names and shapes of the layers
    are unknown before the first update, and a process may get no sample. So there is a fixed number of states:

    - ``points`` (cat): the kept samples, all layers side by side, as flat bytes, because processes can only gather one
      dtype and layers may differ in theirs; every value stays bit for bit what it was
    - ``places`` (cat): the place of each sample in the epoch. Its random key follows from place and seed; the smallest
      ``size`` keys of a union are a uniform sample of the union, and sorted places are the order of the data set, also
      after processes are joined
    - ``layout`` (cat): layers, dtypes, shapes, size and seed as a line of text in bytes, so that a process without a
      sample learns the layers from the others, and samples that do not fit are refused
    - ``seen`` (sum), ``end`` (max): the number of samples so far, and the next free place

    Args:
        metric: The metric; it gets the states.
        size: Number of samples kept.
        seed: Seed of the choice.

    Attributes:
        failures: By layer why it was skipped since the last reset.
    """

    def __init__(self, metric: Metric, size: int, seed: int) -> None:
        self._metric = metric
        self._size = size
        self._seed = seed
        self._before_forward: tuple[int, Layers | None] = (0, None)
        self.failures: dict[str, str] = {}
        for state in LISTS:
            metric.add_state(state, default=[], dist_reduce_fx="cat")
        for state, joined_by in COUNTS.items():
            metric.add_state(state, default=torch.tensor(0), dist_reduce_fx=joined_by)

    def rows(self) -> dict[str, Tensor]:
        """The kept rows by layer, each of shape ``(n, ...)``; empty before the first sample."""
        return self._read().rows()

    def measurement(self, rows: Mapping[str, Tensor], reduction: Reduction) -> Measurement:
        """Measure the distances of the kept rows; a layer without distances is None, with the reason."""
        distances: dict[str, npt.NDArray[np.float32] | None] = dict.fromkeys(rows)
        failures = dict(self.failures)
        for name, output in rows.items():
            try:
                distances[name] = distances_of_rows(output, "flatten" if name == INPUT else reduction)
            except ValueError as error:
                failures[name] = str(error)
        return Measurement(distances, failures, samples_in(rows))

    def draw(self, count: int) -> Draw:
        """Choose among the next ``count`` samples of this process those that are kept."""
        rank, world = 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            group = self._metric.process_group
            rank, world = max(torch.distributed.get_rank(group), 0), max(torch.distributed.get_world_size(group), 1)
        return self._read().draw(count, rank, world)

    def fitting(self, kept: KeptRows, failures: Mapping[str, str]) -> KeptRows:
        """Select the layers of a pass that the sample holds, and note why others were skipped.

        Raises:
            ValueError: If no layer is left, or layers, dtypes or shapes are not those of the rows before.
        """
        reservoir = self._read()
        names = [name for name, _, _ in reservoir.layers] if reservoir.layers else list(kept.layers)
        new = {name: "did not run in the first pass; it is skipped" for name in kept.layers if name not in names}
        self.failures = {**failures, **new, **self.failures}
        layers = {name: rows for name, rows in kept.layers.items() if name in names}
        if not layers.keys() - {INPUT}:
            raise ValueError(
                f"no layer has one row per sample, got {self.failures}; name others in `layers`, and attach a compiled "
                "model before it first runs."
            )
        reservoir.ordered(layers)
        return KeptRows(kept.draw, layers)

    def add(self, kept: KeptRows) -> None:
        """Add the kept rows of a batch.

        Raises:
            ValueError: If layers, dtypes or shapes of a sample are not those of the rows before.
        """
        reservoir = self._read()
        if kept.draw is not None:
            home = torch.device("cpu") if self._metric.compute_on_cpu else self._metric.device
            reservoir = reservoir.added({name: rows.to(home) for name, rows in kept.layers.items()}, kept.draw)
        self._write(reservoir)

    def merge(self, states: Mapping[str, Any]) -> None:
        """Add the sample in the states of another metric, as if its samples had come after those of this one."""
        self._write(self._read().merged(Reservoir.read_any(states)))

    @contextmanager
    def continued(self) -> Iterator[None]:
        """Continue the epoch within `Metric.forward`, which empties the states for a while."""
        before = self._read()
        self._before_forward = (before.end, before.layers)
        try:
            yield
        finally:
            self._before_forward = (0, None)
        self._write(self._read())  # the batch was only appended

    def fill_empty_lists(self) -> None:
        """Give empty list states a tensor, so that a process without a sample gathers the dtype of the others."""
        for state, dtype in LISTS.items():
            tensors = getattr(self._metric, state)
            if isinstance(tensors, list) and not tensors:
                tensors.append(torch.empty(0, dtype=dtype, device=self._metric.device))

    def _read(self) -> Reservoir:
        reservoir = Reservoir.read(self._metric.metric_state, self._size, self._seed)
        end, layers = self._before_forward
        return replace(reservoir, end=max(reservoir.end, end), layers=reservoir.layers or layers)

    def _write(self, reservoir: Reservoir) -> None:
        device = self._metric.device
        for state, value in reservoir.states().items():
            home = reservoir.points.device if isinstance(value, list) else device
            setattr(
                self._metric, state, [part.to(home) for part in value] if isinstance(value, list) else value.to(device)
            )


def kept_rows(activations: Mapping[str, Tensor], layers: str | Sequence[str], sample: EpochSample) -> KeptRows:
    """Check the activations that a user gave, and copy the rows that are kept.

    Raises:
        ValueError: If a layer is missing, or not a floating-point tensor with as many rows as the others.
    """
    if not isinstance(activations, Mapping) or not activations:
        raise ValueError(
            f"Argument `activations` must map names of layers to outputs of shape (n, ...), got {activations!r:.80}."
        )
    names = sorted(activations, key=lambda name: name != INPUT)
    if layers != "auto":
        required = (layers,) if isinstance(layers, str) else layers
        missing = [name for name in required if name not in activations]
        if missing:
            raise ValueError(
                f"Argument `activations` must hold the layers {list(required)}, got {list(activations)}; add {missing} "
                "or remove them from `layers`. Patterns are for `attach` alone."
            )
        names = [name for name in names if name in required or name == INPUT]
    for name in names:
        output = activations[name]
        if not isinstance(output, Tensor) or output.ndim < 1 or str(output.dtype) not in DTYPES:
            actual = f"{tuple(output.shape)} in {output.dtype}" if isinstance(output, Tensor) else repr(output)
            raise ValueError(
                f"Argument `activations` must hold tensors of shape (n, ...) in one of {', '.join(DTYPES)}, "
                f"got {actual:.80} for {name!r}; remove this layer."
            )
    sizes = {name: len(activations[name]) for name in names}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"Argument `activations` must hold one row per sample in every layer, got {sizes} rows; "
            "remove the layers with another number of rows."
        )
    draw = sample.draw(sizes[names[0]])
    return KeptRows(draw, {name: draw.rows(activations[name]) for name in names})
