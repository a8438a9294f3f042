"""Short forms of SVG numbers and outlines."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")
_COMMAND = re.compile(r"([MLQCz])([^MLQCz]*)")
_SMALL = 20.0  # outlines that stay below are symbols, whose shape shows a tenth of a point


def rounded(text: str) -> str:
    """Round the numbers in a text to a tenth.

    Example:
        >>> rounded("rotate(-90 12.3456 78.9)"), rounded("-0.04")
        ('rotate(-90 12.3 78.9)', '0')
    """
    return _NUMBER.sub(lambda match: _short(round(10 * float(match[0])), 1), text)


def outline(path: str) -> str:
    """Shorten the outline of an SVG path, to a tenth of a point, or a hundredth for small symbols.

    Moves and straight lines become relative, except the first move; the rounding errors do not add up.

    Example:
        >>> outline("M 10.02 20 L 30.5 20 L 30.5 25.25 L 29.9 24 z")
        'M10 20h20.5v5.2l-.6-1.2z'
    """
    commands = [(name, [float(number) for number in _NUMBER.findall(rest)]) for name, rest in _COMMAND.findall(path)]
    largest = max((abs(number) for _, numbers in commands for number in numbers), default=0.0)
    digits = 1 if largest > _SMALL else 2
    return "".join(_steps(commands, digits))


def _steps(commands: list[tuple[str, list[float]]], digits: int) -> Iterator[str]:
    x = y = 0
    start = [0, 0]
    last = ""
    for name, numbers in commands:
        units = [round(number * 10**digits) for number in numbers]
        step, relative = name, units
        if name == "L":
            step, relative = _line(units[0] - x, units[1] - y)
        elif name == "M" and last:
            step, relative = "m", [units[0] - x, units[1] - y]
        numbers_text = _joined([_short(unit, digits) for unit in relative])
        if step == last and step in "lhv":
            yield numbers_text if numbers_text.startswith("-") else f" {numbers_text}"
        else:
            yield f"{step}{numbers_text}"
        last = step
        start = units if name == "M" else start
        x, y = units[-2:] if units else start


def _line(dx: int, dy: int) -> tuple[str, list[int]]:
    if dy == 0:
        return "h", [dx]
    return ("v", [dy]) if dx == 0 else ("l", [dx, dy])


def _joined(numbers: list[str]) -> str:
    return "".join(
        number if not index or number.startswith("-") else f" {number}" for index, number in enumerate(numbers)
    )


def _short(units: int, digits: int) -> str:
    """Write a whole number of tenths or hundredths without zeros that say nothing."""
    text = f"{units / 10**digits:.{digits}f}".rstrip("0").rstrip(".")
    return re.sub(r"^(-?)0\.", r"\1.", text) or "0"
