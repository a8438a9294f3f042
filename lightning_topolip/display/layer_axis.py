"""The names of layers along an axis: what all share is said once, in the label of the axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENTRY_ROOM = 10  # characters side by side along a narrow panel
_ROOM = 92  # and along a wide one
_UPRIGHT = 40  # upright names side by side along a panel
_LONGEST = 20


def name_layers(axes: Axes, names: Sequence[str], prefix: str, room: int = _ROOM) -> None:
    """Name the layers at 0, 1, 2, ...; where there is no room for every name, for every second, third, ...

    Args:
        axes: The panel.
        names: The layers.
        prefix: What is left out at the start of every name.
        room: How many characters fit side by side.
    """
    short = [_shortened(name.removeprefix(prefix)) for name in names]
    width = max(map(len, short), default=0) + 1
    level = len(short) * width <= room or width <= 4
    every = math.ceil(len(short) * width / room if level else len(short) / _UPRIGHT) or 1
    axes.set_xticks(range(0, len(short), every), short[::every], fontsize=8, rotation=0 if level else 90)


def axis_label(prefix: str) -> str:
    """The label of an axis whose names have lost their prefix."""
    return f"to layer {prefix}*" if prefix else "to layer"


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


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
