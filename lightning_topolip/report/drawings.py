"""The drawings of a page: figures as lean SVG elements that share their styles and symbols."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from io import BytesIO
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lightning_topolip.report.outlines import outline, rounded
from lightning_topolip.report.palette import Style, at_night
from lightning_topolip.report.siblings import grouped, joined

_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_SYMBOLS = {"path", "clipPath"}
_TEXTS = {"text", "tspan"}
_LENGTHS = ("x", "y", "width", "height")
_REFERENCE = re.compile(r"#(\w+)")
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})\b")
_KEY = (0.4, 0.14)
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
        self._keys: dict[Style, str] = {}
        self._lines: set[str] = set()

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
        lean.extend(self._children(root, known))
        return _written(lean)

    def key(self, style: Style) -> str:
        """Return the name of a symbol of `keys`, the line that stands for a model."""
        return self._keys.setdefault(style, f"k{len(self._keys)}")

    @property
    def keys(self) -> str:
        """The symbols of all keys so far."""
        return "".join(self._key_symbol(style, name) for style, name in self._keys.items())

    @property
    def css(self) -> str:
        """The rules of the classes of all elements so far; where the page is dark, their colours have others."""
        rules = [f".{name}{{{style.replace('; ', ';').replace(': ', ':')}}}" for style, name in self._classes.items()]
        colours = sorted({colour.lower() for rule in rules for colour in _COLOUR.findall(rule)})
        light = ";".join(f"--{colour}:#{colour}" for colour in colours)
        dark = ";".join(f"--{colour}:{at_night(f'#{colour}')}" for colour in colours)
        drawn = [_COLOUR.sub(lambda match: f"var(--{match[1].lower()})", rule) for rule in rules]
        night = f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        return "\n".join([f":root{{{light}}}", night, *drawn])

    def _key_symbol(self, style: Style, name: str) -> str:
        figure = Figure(_KEY)
        line = Line2D([0.04, 0.5, 0.96], [0.5] * 3, linewidth=1.9, markersize=5, markevery=[1], **style.line)
        figure.add_artist(line)
        figure.patch.set_visible(False)
        root = _svg(figure)
        symbol = ElementTree.Element("symbol", {"id": name, "viewBox": root.attrib["viewBox"]})
        symbol.extend(self._children(root, set(self._symbols)))
        return _written(symbol)

    def _children(self, element: ElementTree.Element, known: set[str]) -> list[ElementTree.Element]:
        """Return the marks in an element, those that are alike together."""
        marks = [lean for child in element for lean in self._lean(child, known)]
        return grouped(joined(marks, self._is_line))

    def _is_line(self, path: ElementTree.Element) -> bool:
        return path.get("class") in self._lines

    def _lean(self, element: ElementTree.Element, known: set[str]) -> list[ElementTree.Element]:
        """Return an element without what is not drawn; a group that says nothing is its children."""
        tag = element.tag.rpartition("}")[2]
        if tag in {"metadata", "style"} or (tag in _SYMBOLS and element.get("id") in known):
            return []
        children = self._children(element, known)
        if tag == "defs" and not children:
            return []
        attributes = self._attributes(tag, element.attrib)
        if tag == "g" and len(children) == 1 and children[0].tag == "g" and not attributes.keys() & children[0].keys():
            attributes |= children[0].attrib
            children = list(children[0])
        if tag == "g" and not attributes:
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
        name = self._classes.setdefault(style, _short_name(len(self._classes)))
        if "fill: none" in style:
            self._lines.add(name)
        return name


def _short_name(index: int) -> str:
    """Return a name of one letter, then of two."""
    letters = string.ascii_letters
    before, last = divmod(index, len(letters))
    return f"{letters[before - 1] if before else ''}{letters[last]}"


def _written(element: ElementTree.Element) -> str:
    return ElementTree.tostring(element, encoding="unicode").replace(" />", "/>")


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
