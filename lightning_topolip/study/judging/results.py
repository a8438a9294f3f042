"""The results of a study: one tidy table, a number a row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from lightning_topolip.files import atomic_text


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        data: Label of the data.
        model: Label of the model.
        seed: Seed of the training.
        epoch: Epochs trained by then.
        quantity: What was measured, such as ``"topolip"``; the list is in `measures`.
        variant: Which form of it, such as ``"scaled W2"``; empty where there is one.
        layer: Where; empty for the whole network.
        condition: Under what perturbation, such as ``"fog"``; empty for none.
        strength: How much of it, or the radius of a covering number; 0 for none.
        value: The number; NaN where it could not be measured.
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


COLUMNS = tuple(field.name for field in fields(Row))
_NUMBERS: dict[str, Callable[[str], Any]] = {"seed": int, "epoch": float, "strength": float, "value": float}


class Results:
    """Rows, to be narrowed down.

    Args:
        rows: In any order; it is kept.

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
        """Keep the rows that match.

        Args:
            **columns: By column the value, or a collection of allowed values.

        Returns:
            The rows for which every column matches, in their order.
        """
        allowed = {name: {v} if isinstance(v, (str, Real)) else set(v) for name, v in columns.items()}
        return Results(row for row in self if all(getattr(row, name) in ok for name, ok in allowed.items()))

    def unique(self, column: str) -> list[Any]:
        """List the values of a column in the order in which they appear first."""
        return list(dict.fromkeys(getattr(row, column) for row in self))

    def values(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Give the numbers alone, shape ``(len(self),)``."""
        return np.array([row.value for row in self], dtype=np.float64)

    def last_epoch(self) -> Results:
        """Keep, for every run, the rows of its last epoch."""
        last: dict[tuple[str, str, int], float] = {}
        for row in self:
            run = (row.data, row.model, row.seed)
            last[run] = max(row.epoch, last.get(run, row.epoch))
        return Results(row for row in self if row.epoch == last[row.data, row.model, row.seed])

    def write(self, path: Path) -> None:
        """Write a CSV file whole or not at all; numbers are written so that reading gives them back exactly.

        Args:
            path: Where to; its folder is made.
        """
        with atomic_text(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(astuple(row) for row in self)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what `write` wrote.

        Args:
            path: The CSV file.

        Returns:
            The rows.

        Raises:
            ValueError: If the file has other columns or a line is no row.
        """
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise ValueError(f"Argument `path` must be a CSV with columns {COLUMNS}, got {header} in {path}.")
            return cls([_row(line, path, reader.line_num) for line in reader])


def _row(line: list[str], path: Path, number: int) -> Row:
    try:
        named = zip(COLUMNS, line, strict=True)
        return Row(**{name: _NUMBERS.get(name, str)(text) for name, text in named})
    except ValueError as error:
        raise ValueError(f"Argument `path` must be a whole CSV, got line {number} of {path}: {line}.") from error
