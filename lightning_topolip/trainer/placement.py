"""Where persistence is computed: by several workers while training waits, or in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_topolip.arguments import require_bool, require_one_of, require_whole_number
from lightning_topolip.trainer.workers import Staff


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where persistence is computed, checked when it is made.

    Attributes:
        workers: Layers that are computed at once while training waits; None for as many as suit the engine.
        background: Whether one worker computes while training continues; it takes the place of the others.
        queue_size: Largest number of analyses under way in the background.
        when_full: ``"wait"`` for room in the queue, or ``"skip"`` the analysis.

    Raises:
        ValueError: If an argument is not allowed.
    """

    workers: int | None = None
    background: bool = False
    queue_size: int = 2
    when_full: Literal["wait", "skip"] = "wait"

    def __post_init__(self) -> None:
        """Check every argument."""
        if self.workers is not None:
            require_whole_number("workers", self.workers, 0)
        require_bool("background", self.background)
        require_whole_number("queue_size", self.queue_size, 1)
        require_one_of("when_full", self.when_full, ("wait", "skip"))

    def staff(self, threads: int) -> Staff:
        """The workers.

        Args:
            threads: Number of threads that this process may use.
        """
        if self.background:
            return Staff(1, 1, niceness=19)
        return Staff(threads, 0) if self.workers is None else Staff(self.workers, self.workers)
