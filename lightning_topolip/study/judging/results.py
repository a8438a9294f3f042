"""The results of a study: one tidy table, one number per row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lightning_topolip.files import atomic_text


class Row(NamedTuple):
    """One measured number.

    Attributes:
        data: Label of the data.
        model: Label of the model.
        seed: Seed of the training.
        epoch: Number of epochs trained so far.
        quantity: Name of the measured quantity, such as ``"topolip"``; `measures` lists them.
        variant: Variant of the quantity, such as ``"scaled W2"``; empty if there is only one.
        layer: Name of the layer; empty for the whole network.
        condition: Perturbation of the images, such as ``"fog"``; empty for none.
        strength: Strength of the perturbation, or the radius of a covering number; 0 for none.
        value: The number; NaN if it could not be measured.
    """

    data: str
    model: str
    seed: int
    epoch: float
    quantity: str
    variant: str
    layer: str
    condition: str
    strength: float
    value: float


COLUMNS = Row._fields


class Results:
    """Rows in a fixed order that can be filtered.

    Args:
        rows: The rows.

    Example:
        >>> rows = [Row("digits", "vit", seed, 1.0, "topolip", "scaled W2", "", "", 0.0, 0.1 * seed) for seed in (1, 2)]
        >>> results = Results(rows)
        >>> results.where(seed=2).values().tolist()
        [0.2]
        >>> results.unique("model")
        ['vit']
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, **columns: Any) -> Results:
        """Keep the rows whose columns have the given value, or one of the given values."""
        allowed = {name: {v} if isinstance(v, (str, Real)) else set(v) for name, v in columns.items()}
        return Results(row for row in self if all(getattr(row, name) in values for name, values in allowed.items()))

    def unique(self, column: str) -> list[Any]:
        """List the distinct values of a column in order of first appearance."""
        return list(dict.fromkeys(getattr(row, column) for row in self))

    def values(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the measured numbers, shape ``(len(self),)``."""
        return np.array([row.value for row in self], dtype=np.float64)

    def last_epoch(self) -> Results:
        """Keep the rows of the last epoch of every run."""
        last: dict[tuple[str, str, int], float] = {}
        for row in self:
            run = (row.data, row.model, row.seed)
            last[run] = max(row.epoch, last.get(run, row.epoch))
        return Results(row for row in self if row.epoch == last[row.data, row.model, row.seed])

    def write(self, path: Path) -> None:
        """Write a CSV file, completely or not at all; `read` returns exactly the same numbers."""
        with atomic_text(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a CSV file written by `write`; raise `ValueError` if its columns differ or a line is malformed."""
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise ValueError(f"Argument `path` must be a CSV file with columns {COLUMNS}, got {header} in {path}.")
            return cls([_row(line, path, reader.line_num) for line in reader])


def _row(line: list[str], path: Path, number: int) -> Row:
    try:
        data, model, seed, epoch, quantity, variant, layer, condition, strength, value = line
        labels = quantity, variant, layer, condition
        return Row(data, model, int(seed), float(epoch), *labels, float(strength), float(value))
    except ValueError as error:
        raise ValueError(
            f"Argument `path` must be a complete CSV file, got {line} in line {number} of {path}; run the study again."
        ) from error
