"""Colours, markers and line styles that distinguish models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.colors import to_hex, to_rgb
from matplotlib.typing import LineStyleType

MAP = "viridis"
INK = "#222222"
FAINT = "#6b6b6b"
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
