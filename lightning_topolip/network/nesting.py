"""Values in any nesting: tuples, lists, mappings, data classes and plain objects such as a batch class of one's own."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn

Kinds = type | tuple[type, ...]

DEEPEST = 12


def named_parts(value: Any) -> dict[Any, Any]:
    """Return the values that a collection or a plain object holds, by key, name or place; none for anything else.

    Example:
        >>> named_parts({"images": 1, "labels": 2}), named_parts((3, 4)), named_parts("text")
        ({'images': 1, 'labels': 2}, {0: 3, 1: 4}, {})
    """
    if isinstance(value, Tensor):
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (tuple, list)):
        return dict(zip(getattr(value, "_fields", range(len(value))), value, strict=True))
    return _attributes(value)


def parts(value: Any) -> list[Any]:
    """Return the values of `named_parts`."""
    return list(named_parts(value).values())


def holds_names(value: Any, names: frozenset[str], deepest: int = DEEPEST) -> bool:
    """Whether a nesting has a key or an attribute of one of these names, or a value in it.

    Example:
        >>> holds_names([{"edge_index": 1}], frozenset({"edge_index"}))
        True
    """
    inner = named_parts(value) if deepest else {}
    return not names.isdisjoint(inner) or any(holds_names(part, names, deepest - 1) for part in inner.values())


def mapped(value: Any, kinds: Kinds, function: Callable[[Any], Any], deepest: int = DEEPEST) -> Any:
    """Copy a nesting, with the function's result in place of every value of some kinds.

    Collections and objects keep their types; any other value is shared by both, and what lies deeper than ``deepest``.

    Example:
        >>> mapped({"numbers": (1, 2.0), "name": "a"}, int, lambda number: number + 1)
        {'numbers': (2, 2.0), 'name': 'a'}
    """
    if isinstance(value, kinds):
        return function(value)
    if isinstance(value, Tensor) or not deepest:
        return value

    def inner(item: Any) -> Any:
        return mapped(item, kinds, function, deepest - 1)

    if isinstance(value, Mapping):
        return _with_items(value, {key: inner(item) for key, item in value.items()})
    if isinstance(value, (tuple, list)):
        items = list(map(inner, value))
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    attributes = _attributes(value)
    changed = {name: new for name, old in attributes.items() if (new := inner(old)) is not old}
    return _with_attributes(value, changed) if changed else value


def _with_items(value: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    if isinstance(value, defaultdict):
        return defaultdict(value.default_factory, items)
    try:
        return type(value)(items)  # type: ignore[call-arg]
    except TypeError:
        other: Any = copy.copy(value)
        for key, item in items.items():
            other[key] = item
        return other


def _with_attributes(value: Any, attributes: dict[str, Any]) -> Any:
    other = copy.copy(value)
    for name, attribute in attributes.items():
        object.__setattr__(other, name, attribute)
    return other


def _attributes(value: Any) -> dict[str, Any]:
    """The attributes of a data class, or of an object like a batch: one with a tensor, or with a method ``to``."""
    if isinstance(value, (type, nn.Module)) or callable(value):
        return {}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    attributes = dict(getattr(value, "__dict__", {}))
    is_like_a_batch = hasattr(value, "to") or any(isinstance(held, Tensor) for held in attributes.values())
    return attributes if is_like_a_batch else {}
