"""Colours, markers and line styles that distinguish models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.typing import LineStyleType

MAP = "viridis"
INK = "#222222"
FAINT = "#6b6b6b"
PAPER_AT_NIGHT = "#15171a"
_TEXT_CONTRAST, _GREY, _BRIGHTEST = 4.5, 0.02, 0.95
_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_DASHES: tuple[LineStyleType, ...] = (
    "solid",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)


class Style(NamedTuple):
    """The colour, marker and dash pattern of one model."""

    colour: str
    marker: str
    dashes: LineStyleType

    @property
    def line(self) -> dict[str, Any]:
        """The arguments of matplotlib for a line with markers."""
        return {"color": self.colour, "linestyle": self.dashes, "marker": self.marker}

    @property
    def ink(self) -> str:
        """The colour, dark enough for text on white."""
        red, green, blue = to_rgb(self.colour)
        return to_hex((0.7 * red, 0.7 * green, 0.7 * blue))


def at_night(colour: str) -> str:
    """Return the colour that stands for a colour on white where the page is dark.

    Greys are mirrored, so that white is the page and black is nearly white. Other colours are lightened, if need be,
    until a text in them can be read.

    Source:
        Contrast of WCAG 2.1, https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio.

    Example:
        >>> at_night("#ffffff") == PAPER_AT_NIGHT, at_night("#56b4e9"), at_night("#0072b2") > "#0072b2"
        (True, '#56b4e9', True)
    """
    rgb = np.array(to_rgb(colour))
    if np.ptp(rgb) < _GREY:
        dark = np.array(to_rgb(PAPER_AT_NIGHT))
        return to_hex(tuple(dark + (1 - rgb.mean()) * (_BRIGHTEST - dark)))
    lighter = (to_hex(tuple(rgb + share * (1 - rgb))) for share in np.linspace(0, 1, 101))
    return next(shade for shade in lighter if contrast(shade, PAPER_AT_NIGHT) >= _TEXT_CONTRAST)


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, from 1 to 21.

    Example:
        >>> round(contrast("#000000", "#ffffff"), 6), contrast("#ff0000", "#ff0000")
        (21.0, 1.0)
    """
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def styles(names: Sequence[str]) -> dict[str, Style]:
    """Assign a style to every name; colours repeat after 7 names, pairs of colour and marker after 56.

    The colours can be distinguished with any colour vision.

    Source:
        Okabe and Ito 2008, Color Universal Design, https://jfly.uni-koeln.de/color/.

    Example:
        >>> styles(["vit", "resnet"])["resnet"].colour
        '#D55E00'
    """
    return {
        name: Style(_OKABE_ITO[index % len(_OKABE_ITO)], _MARKERS[index % len(_MARKERS)], _DASHES[index % len(_DASHES)])
        for index, name in enumerate(names)
    }
