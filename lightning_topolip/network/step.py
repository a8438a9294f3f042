"""The step of a LightningModule, which runs on batches even if there is no forward for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from lightning_topolip.network.batches import copied, run_model
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.silence import is_lightning
from lightning_topolip.network.subject import Forward, Subject

_STEPS = ("validation_step", "training_step")


def with_working_forward(
    model: nn.Module,
    batch: Any,
    subject: Subject,
    failure_of: Callable[[Forward], str] | None = None,
) -> tuple[Subject, str]:
    """Replace the forward of a LightningModule by one of its steps if it has none or if it fails on the batch.

    Only a model that is called by `run_model` is tried, once. ``validation_step`` takes its place, else
    ``training_step``, if the module overrides it and, for training, optimizes automatically; what a step logs or
    changes has no effect, see `borrowed`.

    Args:
        model: The model.
        batch: The probe, on the model's device.
        subject: How the model is called so far.
        failure_of: Tries a forward and returns why it failed, empty if it did not; for several processes.

    Returns:
        The subject to go on with, and a sentence if it is another one, else an empty text.

    Example:
        >>> import torch
        >>> subject, sentence = with_working_forward(nn.Linear(2, 2), torch.zeros(4, 2), Subject())
        >>> subject == Subject(), sentence
        (True, '')
    """
    steps = [name for name in _STEPS if _can_run(model, name)]
    if subject.forward_fn is not run_model or not steps:
        return subject, ""
    tried = failure_of or (lambda forward_fn: forward_failure(model, batch, forward_fn, subject.settings.seed))
    reason = tried(run_model) if _overrides(model, "forward") else "there is none"
    working = next((step for step in map(Step, steps) if not tried(step)), None) if reason else None
    if working is None:
        return subject, ""
    return replace(subject, forward_fn=working), (
        f"TopoLip runs `{working.name}` of {type(model).__name__} instead of its `forward` on the probe ({reason}); "
        "forward_fn=lambda module, batch: ... chooses another way"
    )


@dataclass(frozen=True)
class Step:
    """Calls a step of a LightningModule as a forward, with the index 0 for the batch and its loader.

    Attributes:
        name: Name of the step.
    """

    name: str

    def __call__(self, model: Any, batch: Any) -> Any:
        """Run the step."""
        step = getattr(model, self.name)
        required = [
            parameter
            for parameter in inspect.signature(step).parameters.values()
            if parameter.kind <= parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
        ]
        return step(*(batch, 0, 0)[: max(len(required), 1)])


def forward_failure(model: nn.Module, batch: Any, forward_fn: Forward, seed: int) -> str:
    """Run a model once, borrowed, and describe the error that it raises; empty if it raises none."""
    try:
        with borrowed(model, seed):
            forward_fn(model, copied(batch))
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    return ""


def _can_run(model: Any, name: str) -> bool:
    if not is_lightning(model) or not _overrides(model, name):
        return False
    takes_iterator = "dataloader_iter" in inspect.signature(getattr(model, name)).parameters
    return not takes_iterator and (name != "training_step" or model.automatic_optimization)


def _overrides(model: nn.Module, name: str) -> bool:
    """Whether a LightningModule has a method of its own in place of Lightning's."""
    lightning_module = next(kind for kind in reversed(type(model).__mro__) if "log_dict" in vars(kind))
    return getattr(type(model), name) is not getattr(lightning_module, name)
