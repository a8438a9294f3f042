"""Marks of a drawing that share what they say: one path for equal styles, one group for a clip or a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from xml.etree.ElementTree import Element

_FEWEST = 3  # marks of a class that make a group shorter than what it saves


def joined(marks: Sequence[Element], is_line: Callable[[Element], bool]) -> list[Element]:
    """Join the lines of one style and clip into one path each, unless another mark than a text lies between them.

    Args:
        marks: The marks, in the order in which they are drawn.
        is_line: Whether a path has no filling, so that it may have several pieces.
    """
    kept: list[Element] = []
    open_lines: dict[tuple[str | None, str | None], Element] = {}
    for mark in marks:
        if mark.tag == "path" and "transform" not in mark.attrib and "id" not in mark.attrib and is_line(mark):
            style = mark.get("class"), mark.get("clip-path")
            if style in open_lines:
                open_lines[style].attrib["d"] += mark.attrib["d"]
                continue
            open_lines = {style: mark}
        elif mark.tag != "text":
            open_lines = {}
        kept.append(mark)
    return kept


def grouped(marks: Sequence[Element]) -> list[Element]:
    """Hoist the clip that consecutive marks share, and then the class, into a group."""
    return _hoisted(_hoisted(marks, "clip-path", 2), "class", _FEWEST)


def _hoisted(marks: Sequence[Element], name: str, fewest: int) -> list[Element]:
    kept: list[Element] = []
    for (value, _), run in groupby(marks, lambda mark: (mark.get(name), mark.tag == "g" and name == "class")):
        members = list(run)
        if value is None or len(members) < fewest or (members[0].tag == "g" and name == "class"):
            kept += members
            continue
        for member in members:
            del member.attrib[name]
        members = [mark for member in members for mark in ([member] if member.tag != "g" or member.attrib else member)]
        group = Element("g", {name: value})
        group.extend(_hoisted(members, "class", _FEWEST) if name != "class" else members)
        kept.append(group)
    return kept
