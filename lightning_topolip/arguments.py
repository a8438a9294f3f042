"""Checks of arguments with one shape of error: "Argument `x` must be ..., got ...; hint"."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any


def require_whole_number(name: str, value: Any, smallest: int, *, or_zero: bool = False, hint: str = "") -> None:
    """Raise a `ValueError` unless a value is a whole number of at least ``smallest``.

    Example:
        >>> require_whole_number("workers", -1, 0, hint="0 uses this process")
        Traceback (most recent call last):
        ValueError: Argument `workers` must be a whole number >= 0, got -1; 0 uses this process.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or (value < smallest and not (or_zero and value == 0)):
        _refuse(name, f"be {'0 or ' * or_zero}a whole number >= {smallest}", value, hint)


def require_positive(name: str, value: Any, *, hint: str = "") -> None:
    """Raise a `ValueError` unless a value is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        _refuse(name, "be positive", value, hint)


def require_fraction(name: str, value: float, *, hint: str = "") -> None:
    """Raise a `ValueError` unless a value lies between 0 and 1, neither of them included."""
    if not 0 < value < 1:
        _refuse(name, "be between 0 and 1", value, hint)


def require_one_of(name: str, value: Any, allowed: Collection[Any], *, hint: str = "") -> None:
    """Raise a `ValueError` unless a value is one of those allowed."""
    if value not in allowed:
        _refuse(name, f"be one of {allowed}", value, hint)


def require_each_of(name: str, values: Iterable[Any], allowed: Collection[Any], *, hint: str = "") -> None:
    """Raise a `ValueError` unless every value is one of those allowed.

    Example:
        >>> require_each_of("severities", [0, 5], range(1, 6))
        Traceback (most recent call last):
        ValueError: Argument `severities` must contain only values from [1, 2, 3, 4, 5], got [0].
    """
    refused = [value for value in values if value not in allowed]
    if refused:
        _refuse(name, f"contain only values from {list(allowed)}", refused, hint)


def _refuse(name: str, requirement: str, value: Any, hint: str) -> None:
    raise ValueError(f"Argument `{name}` must {requirement}, got {value!r}{'; ' * bool(hint)}{hint}.")
