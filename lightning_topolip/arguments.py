"""Checks of arguments with one shape of error: "Argument `x` must be ..., got ...; hint"."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any


def require_whole_number(
    name: str, value: Any, smallest: int, *, or_zero: bool = False, largest: float = math.inf, hint: str = ""
) -> None:
    """Raise a `ValueError` unless a value is a whole number of at least ``smallest`` and at most ``largest``.

    Example:
        >>> require_whole_number("workers", -1, 0, hint="0 uses this process")
        Traceback (most recent call last):
        ValueError: Argument `workers` must be a whole number >= 0, got -1; 0 uses this process.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not (smallest <= value <= largest or (or_zero and value == 0)):
        at_most = f" and <= {largest}" if largest < math.inf else ""
        _refuse(name, f"be {'0 or ' * or_zero}a whole number >= {smallest}{at_most}", value, hint)


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


def require_bool(name: str, value: Any) -> None:
    """Raise a `ValueError` unless a value is True or False."""
    if not isinstance(value, bool):
        _refuse(name, "be True or False", value, "")


def require_function(name: str, value: Any) -> None:
    """Raise a `ValueError` unless a value can be called."""
    if not callable(value):
        _refuse(name, "be a function", value, "")


def require_text(name: str, value: Any) -> None:
    """Raise a `ValueError` unless a value is text that is not empty."""
    if not isinstance(value, str) or not value:
        _refuse(name, "be text that is not empty", value, "")


def require_names(name: str, value: Any) -> None:
    """Raise a `ValueError` unless a value is a list of names, or None."""
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        _refuse(name, "be a list of names or None", value, "")


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
