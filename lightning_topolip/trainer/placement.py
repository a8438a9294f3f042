"""Where persistence is computed: in the process that trains, in several workers, or in the background."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, replace
from typing import Literal

from lightning_topolip.arguments import require_one_of, require_whole_number


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where persistence is computed, checked when it is made.

    Attributes:
        workers: Processes that compute several layers at once while training waits; 0 for none.
        background: Whether a separate process computes while training continues; it takes the place of the workers.
        queue_size: Largest number of analyses under way in the background.
        when_full: ``"wait"`` for room in the queue, or ``"skip"`` the analysis.

    Raises:
        ValueError: If an argument is not allowed.
    """

    workers: int = 0
    background: bool = False
    queue_size: int = 2
    when_full: Literal["wait", "skip"] = "wait"

    def __post_init__(self) -> None:
        """Check every argument."""
        require_whole_number("workers", self.workers, 0)
        require_whole_number("queue_size", self.queue_size, 1)
        require_one_of("when_full", self.when_full, ("wait", "skip"))

    @property
    def other_processes(self) -> bool:
        """Whether persistence is computed in other processes than this one."""
        return self.background or self.workers > 0

    def allowed_here(self) -> Placement:
        """This placement without other processes where there cannot be any: a daemonic process has no children."""
        if multiprocessing.current_process().daemon:
            return replace(self, workers=0, background=False)
        return self
