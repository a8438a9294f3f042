"""The results of a study: one tidy table, one number per row."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable, Iterator
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lightning_topolip.files import write_bytes


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
        error: Its standard error on the probe; NaN if it has none.
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
    error: float = math.nan


COLUMNS = Row._fields
TABLE = "results.csv"
_COMPRESSED = ".gz"


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
        """Write a CSV file, completely or not at all; `read` returns exactly the same numbers.

        A path that ends in ``.gz`` is compressed. The same numbers give the same bytes.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*row[:-1], "" if math.isnan(row.error) else row.error) for row in self)
        content = text.getvalue().encode()
        write_bytes(path, _compressed(content) if path.suffix == _COMPRESSED else content)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a CSV file written by `write`; raise `ValueError` if its columns differ or a line is malformed."""
        opened = gzip.open if path.suffix == _COMPRESSED else open
        with opened(path, "rt", newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise ValueError(
                    f"Argument `path` must be a CSV file with columns {COLUMNS}, got {header} in {path}; a table "
                    "without errors is of an older version, whose drifts were not per sample: run the study again."
                )
            return cls([_row(line, path, reader.line_num) for line in reader])


def results_file(folder: Path) -> Path:
    """Return the table of a study: ``results.csv``, or ``results.csv.gz`` if there is no other.

    Raises:
        FileNotFoundError: If the folder has neither.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> Results([]).write(folder / "results.csv.gz")
        >>> results_file(folder).name
        'results.csv.gz'
    """
    for path in (folder / TABLE, folder / f"{TABLE}{_COMPRESSED}"):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"Argument `folder` must hold {TABLE} or {TABLE}{_COMPRESSED}, got {str(folder)!r} without them; run the study "
        "first."
    )


def _compressed(content: bytes) -> bytes:
    """Compress without the time and the name, which would make equal contents differ."""
    file = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as archive:
        archive.write(content)
    return file.getvalue()


def _row(line: list[str], path: Path, number: int) -> Row:
    try:
        data, model, seed, epoch, quantity, variant, layer, condition, strength, value, error = line
        labels = quantity, variant, layer, condition
        known = float(error) if error else math.nan
        return Row(data, model, int(seed), float(epoch), *labels, float(strength), float(value), known)
    except ValueError as error:
        raise ValueError(
            f"Argument `path` must be a complete CSV file, got {line} in line {number} of {path}; run the study again."
        ) from error
