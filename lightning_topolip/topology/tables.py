"""Small tables for people: plain text in a terminal, HTML in a notebook."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, replace

_GAP = "  "


@dataclass(frozen=True)
class Table:
    """A table of numbers; a column without a name holds text, and is aligned to the left.

    Attributes:
        title: One line above it.
        header: Names of the columns.
        rows: Cells of every row, as text.

    Example:
        >>> print(Table("Two numbers", ("", "value"), (("one", "1"), ("ten", "10"))))
        Two numbers
             value
        one      1
        ten     10
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """Return the table as text, its columns aligned."""
        lines, widths = [self.header, *self.rows], self._widths
        signs = [">" if name else "<" for name in self.header]
        cells = ([f"{cell:{sign}{w}}" for cell, sign, w in zip(line, signs, widths, strict=True)] for line in lines)
        return "\n".join([self.title, *(_GAP.join(line).rstrip() for line in cells)])

    def within(self, width: float) -> Table:
        """Leave out the last columns that do not fit into so many characters, but never the first two.

        Example:
            >>> table = Table("Numbers", ("", "value", "error"), (("one", "1.25", "0.5"),))
            >>> table.within(16).header, table.within(17).header
            (('', 'value'), ('', 'value', 'error'))
        """
        ends = [sum(self._widths[:count]) + len(_GAP) * (count - 1) for count in range(1, len(self.header) + 1)]
        count = max(2, sum(end <= width for end in ends))
        return replace(self, header=self.header[:count], rows=tuple(row[:count] for row in self.rows))

    @property
    def _widths(self) -> list[int]:
        return [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]

    def _repr_html_(self) -> str:
        """Return the table as HTML, which a notebook shows."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.header)
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        return (
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def number(value: float, digits: int = 3) -> str:
    """Write a number for people, NaN as a dash.

    Example:
        >>> number(0.012345), number(1234.5), number(float("nan"))
        ('0.0123', '1230', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{float(f'{value:.{digits}g}'):g}" if math.isfinite(value) else str(value)


def with_error(value: float, error: float) -> str:
    """Write a number with two digits of its standard error, or alone where there is no error.

    Example:
        >>> with_error(0.51186, 0.0208), with_error(0.000353, 0.000083), with_error(0.51186, float("nan"))
        ('0.512 ± 0.021', '0.000353 ± 0.000083', '0.512')
    """
    if math.isnan(value) or not (math.isfinite(error) and error > 0):
        return number(value)
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
