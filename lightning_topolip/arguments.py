"""Checks of a user's arguments: each names the argument, what is allowed and what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def require_whole_number(name: str, value: Any, smallest: int, or_zero: bool = False) -> None:
    """Refuse what is not a whole number of at least some size.

    Args:
        name: The argument.
        value: What came.
        smallest: Smallest number allowed.
        or_zero: Whether 0 is allowed beside.

    Raises:
        ValueError: If ``value`` is not such a number.

    Example:
        >>> require_whole_number("workers", 2, 0)
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or (value < smallest and not (or_zero and value == 0)):
        allowed = f"{'0 or ' * or_zero}a whole number >= {smallest}"
        raise ValueError(f"Argument `{name}` must be {allowed}, got {value!r}.")


def require_one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Refuse what is not one of some words.

    Args:
        name: The argument.
        value: What came.
        allowed: The words.

    Raises:
        ValueError: If ``value`` is none of them.

    Example:
        >>> require_one_of("on_error", "warn", ("warn", "raise"))
    """
    if value not in allowed:
        raise ValueError(f"Argument `{name}` must be one of {allowed}, got {value!r}.")


def require_known(name: str, layers: Sequence[str] | None, known: Sequence[str]) -> None:
    """Refuse layers that are not analysed.

    Args:
        name: The argument.
        layers: What came; None for none.
        known: Names of the analysed layers.

    Raises:
        ValueError: If a layer is not among them.

    Example:
        >>> require_known("diagram_layers", ["0"], ["0", "1"])
    """
    unknown = [layer for layer in layers or () if layer not in known]
    if unknown:
        raise ValueError(f"Argument `{name}` must name analysed layers of {list(known)}, got {unknown}.")
