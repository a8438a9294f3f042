"""Warnings that are worth giving once."""

from __future__ import annotations

import os
import warnings

from lightning_utilities.core.rank_zero import rank_zero_only


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
                warnings.warn(message, stacklevel=2)

    def clear(self) -> None:
        """Forget what was given: every warning may be given once more."""
        self._given.clear()


def _rank() -> int:
    """Lightning's global rank; without Lightning, the rank on this machine."""
    return int(getattr(rank_zero_only, "rank", os.environ.get("LOCAL_RANK", "0")))
