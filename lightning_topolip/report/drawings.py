"""The drawings of a page: figures as lean SVG elements that share their styles and symbols."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure

from lightning_topolip.report.outlines import outline, rounded

_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_SYMBOLS = {"path", "clipPath"}
_TEXTS = {"text", "tspan"}
_LENGTHS = ("x", "y", "width", "height")
_REFERENCE = re.compile(r"#(\w+)")
_GROUP_OPACITY = re.compile(r"(?<!-)opacity")
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"


class Drawings:
    """Makes SVG elements of figures.

    A style that several marks have is a class of the page, and a symbol is defined where it is first used: a page with
    a hundred figures would repeat both thousands of times. Texts stay texts.

    Example:
        >>> figure = Figure((2.0, 1.0))
        >>> _ = figure.text(0.1, 0.5, "words")
        >>> drawings = Drawings()
        >>> element = drawings.element(figure, "Some words.")
        >>> element.startswith('<svg role="img" aria-label="Some words."'), ">words</text>" in element
        (True, True)
    """

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}
        self._symbols: dict[str, str] = {}

    def element(self, figure: Figure, alt: str) -> str:
        """Return the element of a figure, with a text for screen readers."""
        root = _svg(figure)
        known = set(self._symbols)
        lean = ElementTree.Element(
            "svg",
            {
                "role": "img",
                "aria-label": alt,
                "width": f"{96 * figure.get_figwidth():.0f}",
                "height": f"{96 * figure.get_figheight():.0f}",
                "viewBox": root.attrib["viewBox"],
            },
        )
        for child in root:
            lean.extend(self._lean(child, known))
        return ElementTree.tostring(lean, encoding="unicode").replace(" />", "/>")

    @property
    def css(self) -> str:
        """The rules of the classes of all elements so far."""
        rules = (f".{name}{{{style.replace('; ', ';').replace(': ', ':')}}}" for style, name in self._classes.items())
        return "\n".join(rules)

    def _lean(self, element: ElementTree.Element, known: set[str]) -> list[ElementTree.Element]:
        """Return an element without what is not drawn; a group that says nothing is its children."""
        tag = element.tag.rpartition("}")[2]
        if tag in {"metadata", "style"} or (tag in _SYMBOLS and element.get("id") in known):
            return []
        children = [lean for child in element for lean in self._lean(child, known)]
        if tag == "defs" and not children:
            return []
        attributes = self._attributes(tag, element.attrib)
        if tag == "g":
            _hoist_class(attributes, children)
            if not attributes:
                return children
        lean = ElementTree.Element(tag, attributes)
        lean.text = element.text if tag in _TEXTS else None
        lean.extend(children)
        return [] if tag in _TEXTS and not children and not (lean.text or "").strip() else [lean]

    def _attributes(self, tag: str, attributes: Mapping[str, str]) -> dict[str, str]:
        lean = dict(attributes)
        name = lean.pop("id", "")
        if name and tag in _SYMBOLS:
            lean["id"] = self._symbol(name)
        if _XLINK_HREF in lean:
            lean["href"] = lean.pop(_XLINK_HREF)
        for name in ("href", "clip-path"):
            if name in lean and not lean[name].startswith("data:"):
                lean[name] = _REFERENCE.sub(lambda match: f"#{self._symbol(match[1])}", lean[name])
        if "style" in lean:
            lean["class"] = self._class(lean.pop("style"))
        if "d" in lean:
            lean["d"] = outline(lean["d"])
        lean.update({name: rounded(lean[name]) for name in _LENGTHS if name in lean})
        if "transform" in lean:
            lean["transform"] = rounded(lean["transform"])
            if lean["transform"].startswith("rotate(0"):
                del lean["transform"]
        return lean

    def _symbol(self, name: str) -> str:
        """Return the short name of a symbol; matplotlib's long one is the same for the same outline only."""
        return self._symbols.setdefault(name, f"m{len(self._symbols)}")

    def _class(self, style: str) -> str:
        return self._classes.setdefault(style, f"d{len(self._classes)}")


def _svg(figure: Figure) -> ElementTree.Element:
    file = BytesIO()
    with rc_context(
        {
            "svg.hashsalt": "lightning_topolip",
            "svg.fonttype": "none",
            "font.sans-serif": ["DejaVu Sans", "Verdana"],
            "path.simplify": False,
        }
    ):
        figure.savefig(file, format="svg", metadata=_METADATA)
    return ElementTree.fromstring(file.getvalue())


def _hoist_class(attributes: dict[str, str], children: list[ElementTree.Element]) -> None:
    """Give a group the class that all its marks have."""
    classes = {child.get("class") for child in children}
    if len(classes) == 1 and None not in classes and {child.tag for child in children} == {"use"}:
        attributes["class"] = str(classes.pop())
        for child in children:
            del child.attrib["class"]
