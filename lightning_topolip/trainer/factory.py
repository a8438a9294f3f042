"""The entry point by which Lightning adds a callback to every Trainer, where an environment variable asks for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_topolip.trainer.standby import StandbyCallback

__all__ = ["VARIABLE", "requested_callbacks"]

VARIABLE = "TOPOLIP_WATCH"
_ANSWERS = {
    "1": True,
    "true": True,
    "on": True,
    "yes": True,
    "": False,
    "0": False,
    "false": False,
    "off": False,
    "no": False,
}


def requested_callbacks() -> list[StandbyCallback]:
    """Return a callback with its defaults if ``TOPOLIP_WATCH=1``, and nothing, without importing torch, otherwise.

    Lightning calls it, as an entry point of the group ``lightning.pytorch.callbacks_factory``, for every Trainer.

    Raises:
        ValueError: If the variable is neither 1 nor 0.
    """
    value = os.environ.get(VARIABLE, "")
    if value.lower() not in _ANSWERS:
        raise ValueError(f"Environment variable `{VARIABLE}` must be 1 or 0, got {value!r}; unset it to watch nothing.")
    if not _ANSWERS[value.lower()]:
        return []
    from lightning_topolip.trainer.standby import StandbyCallback

    return [StandbyCallback()]
