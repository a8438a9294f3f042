"""What the processes of a trainer do together: each of them enters, and all of them know how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lightning.pytorch import Trainer

Result = TypeVar("Result")


def agreed(trainer: Trainer, attempt: Callable[[], Result]) -> Result:
    """Try something on every process; either all get their results or all raise.

    Args:
        trainer: The trainer; every process has to call this.
        attempt: What to try. It may fail on some of the processes.

    Returns:
        This process's own result.

    Raises:
        Exception: What failed on this process; on the others a `RuntimeError` that quotes it.
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
    found: Result = result
    return found


def gathered(trainer: Trainer, value: Result) -> list[Result]:
    """Give the values of all processes, in the order of their ranks.

    Args:
        trainer: The trainer; every process has to call this.
        value: This process's own.

    Returns:
        One value a process.
    """
    return [trainer.strategy.broadcast(value, src=rank) for rank in range(trainer.world_size)]
