"""The rows of one run, from which its numbers are computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from lightning_topolip.study.judging.results import Row


class RunRows:
    """The rows of one run, grouped by quantity; layers keep their order of execution."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[str, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(row.quantity, []).append(row)
        self.last_epoch = max((row.epoch for group in self._rows.values() for row in group), default=math.nan)

    def until(self, epoch: float) -> RunRows:
        """Return the rows that a training of so many epochs has."""
        return RunRows(row for group in self._rows.values() for row in group if row.epoch <= epoch)

    def of(self, quantity: str, variant: str = "") -> list[Row]:
        """Return the rows of a quantity at all epochs."""
        return [row for row in self._rows.get(quantity, []) if row.variant == variant]

    def at_end(self, quantity: str, variant: str = "") -> list[Row]:
        """Return the rows of a quantity at the last epoch."""
        return [row for row in self.of(quantity, variant) if row.epoch == self.last_epoch]

    def single(self, quantity: str, variant: str = "", layer: str = "", condition: str = "") -> Row:
        """Return the one row of a quantity at the last epoch, by default of the whole network; NaN if there is none."""
        rows = [row for row in self.at_end(quantity, variant) if (row.layer, row.condition) == (layer, condition)]
        missing = Row("", "", 0, self.last_epoch, quantity, variant, layer, condition, 0.0, math.nan)
        return rows[-1] if rows else missing

    def last_layer(self) -> str:
        """Return the name of the last layer; empty if no layer was measured."""
        rows = self._rows.get("scale") or self._rows.get("pairwise_lipschitz", [])
        return next((row.layer for row in reversed(rows) if in_layer(row)), "")


Number = Callable[[RunRows], float]
"""A number of a run; NaN if its rows are missing."""


def in_layer(row: Row) -> bool:
    """Tell whether a row belongs to one of the network's own layers."""
    return bool(row.layer) and not row.layer.startswith("<")
