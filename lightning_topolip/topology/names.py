"""Names that stand for places in a network, and names as people read them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

INPUT = "<input>"
OUTPUT = "<output>"
NETWORK = "<network>"


def short_names(names: Sequence[str]) -> list[str]:
    """Shorten names for people by the parents that all of them share.

    Example:
        >>> short_names(["<input>", "network.layer1.0", "network.layer2.0"])
        ['<input>', 'layer1.0', 'layer2.0']
    """
    grandparents = [name.split(".")[:-2] for name in names if "." in name]
    levels = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*grandparents, strict=False))
    prefix = "".join(f"{level[0]}." for level in levels)
    return [name.removeprefix(prefix) for name in names]
