"""A uniform sample of an epoch, the same rows of every layer, in tensors that can be joined and thinned."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from lightning_topolip.metric.sampling import Draw, lowest, next_places

Layers = tuple[tuple[str, str, tuple[int, ...]], ...]
_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DTYPES = {str(dtype): dtype for dtype in (*_REAL, torch.complex32, torch.complex64, torch.complex128)}
LISTS = {"points": torch.uint8, "places": torch.int64, "layout": torch.uint8}
COUNTS = {"seen": "sum", "end": "max"}


@dataclass(frozen=True)
class Reservoir:
    """At most ``size`` samples out of all so far, each kept with the same probability.

    Attributes:
        size: Largest number of samples kept.
        seed: Seed of the choice.
        layers: Name, dtype and shape of one sample of every layer, in the order of the path; None if unknown.
        places: Place in the epoch of every row, shape ``(n,)``, int64, on the CPU.
        points: The rows, all layers side by side, bytes, flat.
        seen: Number of samples so far.
        end: The next free place.
    """

    size: int
    seed: int
    layers: Layers | None
    places: Tensor
    points: Tensor
    seen: int
    end: int

    @classmethod
    def read(cls, states: Mapping[str, Any], size: int, seed: int) -> Reservoir:
        """Read the states of a metric, or the concatenated ones of several processes, and thin them to ``size``.

        Raises:
            ValueError: If the states hold different layers, or were chosen with another size or seed.
        """
        points, places, layout = (_joined(states[name], dtype) for name, dtype in LISTS.items())
        lines = dict.fromkeys(bytes(layout.tolist()).splitlines())
        layouts = [json.loads(line) for line in lines]
        if any(sampling != [size, seed] for _, sampling in layouts):
            raise ValueError(
                "Arguments `max_points` and `seed` must be the same in all processes and in a loaded state, got "
                f"{[size, seed]} here and {[sampling for _, sampling in layouts]} there; make them equal, or `reset`."
            )
        layers = [tuple((name, dtype, tuple(shape)) for name, dtype, shape in layout) for layout, _ in layouts]
        if len(layers) > 1:
            raise ValueError(
                "All processes must hold the same layers, dtypes and shapes of a sample, "
                f"{_difference(layers[0], layers[1])}; pad batches to one length, and name the layers."
            )
        seen, end = (int(states[name]) for name in COUNTS)
        return cls(size, seed, layers[0] if layers else None, places.cpu(), points, seen, end)._thinned()

    @classmethod
    def read_any(cls, states: Mapping[str, Any]) -> Reservoir:
        """Read the states of a metric with any size and seed."""
        layout = _joined(states["layout"], torch.uint8)
        lines = bytes(layout.tolist()).splitlines()
        size, seed = json.loads(lines[0])[1] if lines else (0, 0)
        return cls.read(states, size, seed)

    def states(self) -> dict[str, list[Tensor] | Tensor]:
        """Return the states of a metric, the layout as a line of JSON in bytes."""
        line = json.dumps([self.layers, [self.size, self.seed]]) + "\n"
        layout = torch.tensor(list(line.encode()), dtype=torch.uint8)
        lists = {"points": [self.points], "places": [self.places], "layout": [layout]} if self.layers else {}
        return {**lists, "seen": torch.tensor(self.seen), "end": torch.tensor(self.end)}

    def draw(self, count: int, rank: int = 0, world: int = 1) -> Draw:
        """Choose among the next ``count`` samples of process ``rank`` of ``world``; earlier samples may have to go."""
        new = next_places(self.end, count, rank, world)
        kept = lowest(torch.cat([self.places, new]), self.size, self.seed)
        chosen = kept[kept >= len(self.places)] - len(self.places)
        return Draw(new[chosen], chosen, count, int(new[-1]) + 1 if count else self.end)

    def ordered(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Bring rows into the order of the layers.

        Raises:
            ValueError: If layers, dtypes or shapes of a sample are not those of the rows before.
        """
        layers: Layers = tuple((name, str(output.dtype), tuple(output.shape[1:])) for name, output in rows.items())
        if self.layers and sorted(self.layers) != sorted(layers):
            raise ValueError(
                "Argument `activations` must hold the same layers, dtypes and shapes of a sample in every update, "
                f"{_difference(self.layers, layers)}; pad batches to one length, or call `reset` first."
            )
        return {name: rows[name] for name, _, _ in self.layers or layers}

    def added(self, rows: Mapping[str, Tensor], draw: Draw) -> Reservoir:
        """Add the samples of a draw.

        Args:
            rows: The kept rows by layer, each of shape ``(len(draw.chosen), ...)``.
            draw: The choice of the rows.

        Raises:
            ValueError: If layers, dtypes or shapes of a sample are not those of the rows before.
        """
        rows = self.ordered(rows)
        flat = [output.flatten(1) if output.ndim > 1 else output[:, None] for output in rows.values()]
        new = torch.cat([output.contiguous().view(torch.uint8) for output in flat], dim=1)
        n, places = len(self.places), torch.cat([self.places, draw.places])
        kept = lowest(places, self.size, self.seed)
        old, new = kept[kept < n], new[(kept[kept >= n] - n).to(new.device)]
        points = self.points
        if len(new):  # a copy, because another metric or a loaded state may hold the table before
            points = new.new_empty(len(kept), new.shape[1])
            table = self.points.to(new.device).view(-1, new.shape[1])
            torch.index_select(table, 0, old.to(new.device), out=points[: len(old)])
            points[len(old) :] = new
        return replace(
            self,
            layers=tuple((name, str(output.dtype), tuple(output.shape[1:])) for name, output in rows.items()),
            places=places[kept],
            points=points.flatten(),
            seen=self.seen + draw.count,
            end=max(self.end, draw.end),
        )

    def merged(self, other: Reservoir) -> Reservoir:
        """Join the samples of another reservoir as if they had come after those of this one.

        Two reservoirs with one seed have chosen by the same keys, and a choice must not depend on an earlier one. So
        all samples get free places, and with them the keys that as many new samples would have got.

        Raises:
            ValueError: If the layers differ or the other one has kept too few of its samples for a fair choice.
        """
        if other.layers is None:
            return self
        if self.layers not in (None, other.layers):
            raise ValueError(
                "Argument `incoming_state` must hold the same layers, dtypes and shapes of a sample, "
                f"{_difference(self.layers, other.layers)}."
            )
        kept = len(other.places)
        if kept < min(other.seen, self.size):
            raise ValueError(
                f"Argument `incoming_state` must hold {min(other.seen, self.size)} of its {other.seen} samples, got "
                f"{kept}; give both metrics the same `max_points`."
            )
        start = max(self.end, other.end)
        return replace(
            self,
            layers=other.layers,
            places=torch.cat([self._moved_to(start, self.seed), other._moved_to(start + self.seen, self.seed)]),
            points=torch.cat([self.points, other.points.to(self.points.device)]),
            seen=self.seen + other.seen,
            end=start + self.seen + other.seen,
        )._thinned()

    def rows(self) -> dict[str, Tensor]:
        """Return copies of the kept rows by layer, each of shape ``(n, ...)``, bit for bit; nothing without samples."""
        layers = self.layers if self.layers and len(self.places) else ()
        sizes = (DTYPES[dtype].itemsize * math.prod(shape) for _, dtype, shape in layers)
        table, rows, start = self.points.view(len(self.places) or 1, -1), {}, 0
        for (name, dtype, shape), stop in zip(layers, accumulate(sizes), strict=True):
            block = table[:, start:stop].clone(memory_format=torch.contiguous_format)
            rows[name] = block.view(DTYPES[dtype]).view(len(table), *shape)
            start = stop
        return rows

    def _moved_to(self, start: int, seed: int) -> Tensor:
        """The places that would be kept if all samples came again, from a start and with new keys."""
        fresh = start + torch.arange(self.seen)
        return fresh[lowest(fresh, len(self.places), seed)]

    def _thinned(self) -> Reservoir:
        n = len(self.places)
        chosen = lowest(self.places, self.size, self.seed)
        if n == 0 or torch.equal(chosen, torch.arange(n)):
            return self
        points = self.points.view(n, -1)[chosen.to(self.points.device)].flatten()
        return replace(self, places=self.places[chosen], points=points)


def _joined(state: list[Tensor] | Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(state, Tensor) or len(state) == 1:
        return state if isinstance(state, Tensor) else state[0]
    return torch.cat(state) if state else torch.empty(0, dtype=dtype)


def _difference(first: Layers, second: Layers) -> str:
    others = {name: (dtype, shape) for name, dtype, shape in second}
    for name, dtype, shape in first:
        if name in others and others[name] != (dtype, shape):
            return f"got {shape} in {dtype} and then {others[name][1]} in {others[name][0]} for {name!r}"
    return f"got {[name for name, _, _ in first]} and then {list(others)}"
