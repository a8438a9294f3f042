"""An analysis that failed, and the advice that fits its cause."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import LightningModule

from lightning_topolip.network.batches import run_model
from lightning_topolip.network.subject import Subject

PROBE_ADVICE = "If the probe cannot be read from the data, give TopoLipCallback(probe=...) a batch."
FORWARD_ADVICE = (
    "If the module's forward does not take the batch's inputs, give "
    "TopoLipCallback(forward_fn=lambda module, batch: ...)."
)
_STEPS = ("forward", "validation_step", "training_step")


@dataclass(frozen=True)
class Failure:
    """An analysis that failed.

    Attributes:
        error: Its error.
        advice: A sentence about what to do, if the cause is known.
    """

    error: Exception
    advice: str = ""


def failure_of(error: Exception, pl_module: LightningModule, subject: Subject, *, has_probe: bool) -> Failure:
    """Find the advice that fits an error: about the probe if there is none, about the forward if it raised there."""
    if not has_probe:
        return Failure(error, PROBE_ADVICE)
    if subject.forward_fn is not run_model:
        in_forward = _raised_within(error, [subject.forward_fn])
        return Failure(error, "It was raised in the given forward_fn." if in_forward else "")
    entered = [run_model, *(getattr(type(pl_module), name, None) for name in _STEPS)]
    return Failure(error, FORWARD_ADVICE if _raised_within(error, entered) else "")


def _raised_within(error: Exception, functions: Iterable[Any]) -> bool:
    codes = {getattr(function, "__code__", None) for function in functions} - {None}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))
