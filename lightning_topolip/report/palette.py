"""How models are told apart: a colour, a marker and a line style each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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


class Look(NamedTuple):
    """How one thing is drawn.

    Attributes:
        colour: Of Okabe and Ito's palette, which is told apart with any colour vision.
        marker: As matplotlib names it.
        dashes: The line style.
    """

    colour: str
    marker: str
    dashes: LineStyleType

    @property
    def ink(self) -> str:
        """The colour, dark enough for text on white."""
        red, green, blue = to_rgb(self.colour)
        return to_hex((0.7 * red, 0.7 * green, 0.7 * blue))


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Give every name its look.

    Args:
        names: In the order in which they are drawn.

    Returns:
        The look by name. Colours recur after seven, pairs of colour and marker after fifty-six.

    Source:
        Okabe and Ito 2008, Color Universal Design, https://jfly.uni-koeln.de/color/.

    Example:
        >>> looks(["vit", "resnet"])["resnet"].colour
        '#D55E00'
    """
    return {
        name: Look(_OKABE_ITO[index % len(_OKABE_ITO)], _MARKERS[index % len(_MARKERS)], _DASHES[index % len(_DASHES)])
        for index, name in enumerate(names)
    }
