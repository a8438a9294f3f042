"""Warnings that are worth giving once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

from lightning_utilities.core.rank_zero import rank_zero_only

_NAMED = 3


class Notices:
    """Warnings of one object: each is given once, by the first process alone."""

    def __init__(self) -> None:
        self._given: set[object] = set()

    def warn(self, message: str, key: object = None) -> None:
        """Warn unless a warning with this key (by default the message itself) was given before."""
        key = message if key is None else key
        if key not in self._given:
            self._given.add(key)
            if _rank() == 0:
                warnings.warn(message if message.endswith((".", "?")) else f"{message}.", stacklevel=2)

    def warn_by_reason(self, reasons: Mapping[str, str], start: str) -> None:
        """Warn once of each layer that has a reason, in one sentence for all layers that share it.

        Args:
            reasons: By layer, the reason.
            start: How the sentences begin.
        """
        for reason in dict.fromkeys(reasons.values()):
            layers = [name for name, why in reasons.items() if why == reason and (name, why) not in self._given]
            if layers:
                self._given.update((name, reason) for name in layers)
                self.warn(f"{start} {layers_in_words(layers)}: {reason}", key=(reason, *layers))

    def clear(self) -> None:
        """Forget what was given: every warning may be given once more."""
        self._given.clear()


def layers_in_words(names: list[str]) -> str:
    """Name the first of some layers, and count the others.

    Example:
        >>> layers_in_words(["a", "b", "c", "d"])
        "layers 'a', 'b', 'c' and 1 more"
    """
    first = ", ".join(map(repr, names[:_NAMED]))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"layer{'s' * (len(names) > 1)} {first}{more}"


def _rank() -> int:
    """Lightning's global rank; without Lightning, the rank on this machine."""
    return int(getattr(rank_zero_only, "rank", os.environ.get("LOCAL_RANK", "0")))
