"""Joint actions of a trainer's processes: each of them takes part, and all of them learn how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn

Result = TypeVar("Result")


def warn_of_lost_history(trainer: Trainer) -> None:
    """Warn if the strategy starts processes for the fit alone, as ``ddp_spawn`` and ``ddp_fork`` do."""
    if hasattr(trainer.strategy.launcher, "get_extra_results"):
        rank_zero_warn(
            "The strategy starts its own processes for the fit, so TopoLipCallback.history stays empty in the process "
            "that calls it; the curves are in the loggers, and in every checkpoint under 'callbacks'."
        )


def agreed(trainer: Trainer, attempt: Callable[[], Result]) -> Result:
    """Try something on every process; either all get their results or all raise.

    Args:
        trainer: The trainer; every process has to call this.
        attempt: The action. It may fail on some of the processes.

    Returns:
        This process's own result.

    Raises:
        Exception: The error of this process; on the others a `RuntimeError` that quotes it.
    """
    failed: Exception | None = None
    result: Any = None
    try:
        result = attempt()
    except Exception as error:
        failed = error
    problems = gathered(trainer, repr(failed) if failed else None)
    if failed is not None:
        raise failed
    for rank, problem in enumerate(problems):
        if problem is not None:
            raise RuntimeError(f"process {rank} reports {problem}")
    own_result: Result = result
    return own_result


def gathered(trainer: Trainer, value: Result) -> list[Result]:
    """Return the values of all processes, in the order of their ranks; every process has to call this."""
    values = [value] * trainer.world_size
    if trainer.world_size > 1:
        torch.distributed.all_gather_object(values, value)
    return values
