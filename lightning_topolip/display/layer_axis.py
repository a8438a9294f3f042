"""The names of layers along an axis: what all share is said once, in the label of the axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_topolip.display.panels import TICK_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENTRY_ROOM = 5  # characters side by side along a narrow panel
_ROOM = 46  # and along a wide one
_UPRIGHT = 22  # upright names side by side along a panel
_LONGEST = 16
_LONGEST_PREFIX = 36


def name_layers(axes: Axes, names: Sequence[str], prefix: str, room: int = _ROOM) -> None:
    """Name the layers at 0, 1, 2, ...; where there is no room for every name, for every second, third, ...

    Args:
        axes: The panel.
        names: The layers.
        prefix: What is left out at the start of every name.
        room: How many characters fit side by side.
    """
    short = [shortened(name.removeprefix(prefix)) for name in names]
    width = max(map(len, short), default=0) + 1
    level = len(short) * width <= room or width <= 4
    every = math.ceil(len(short) * width / room if level else len(short) / _UPRIGHT) or 1
    axes.set_xticks(range(0, len(short), every), short[::every], fontsize=TICK_SIZE, rotation=0 if level else 90)


def axis_label(prefix: str, start: str = "to layer") -> str:
    """The label of an axis whose names have lost their prefix."""
    return f"{start} {shortened(prefix, _LONGEST_PREFIX)}*" if prefix else start


def common_prefix(names: Sequence[str]) -> str:
    """Find the start that all layers share, up to a dot or an underscore.

    Names such as ``"<output>"`` do not count.

    Example:
        >>> common_prefix(["network.blocks.0", "network.blocks.1"]), common_prefix(["layer1.0", "layer2.0"])
        ('network.blocks.', '')
    """
    letters = zip(*(name[:-1] for name in names if not name.startswith("<")), strict=False)
    shared = "".join(column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, letters))
    return shared[: 1 + max(shared.rfind("."), shared.rfind("_"))]


def shortened(name: str, longest: int = _LONGEST) -> str:
    """Leave out the middle of a long name, since names differ at their ends.

    Example:
        >>> shortened("layer1.0.bottleneck_conv"), shortened("blocks.11")
        ('layer1.0…ck_conv', 'blocks.11')
    """
    start = longest // 2
    return name if len(name) <= longest else f"{name[:start]}…{name[start + 1 - longest :]}"
