"""The figures of one fit: when they are drawn, here or by a process in the background."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from lightning.pytorch import Trainer

from lightning_topolip.display.figures import log_pictures
from lightning_topolip.display.loggers import shows_figures
from lightning_topolip.display.pictures import Pictures, draw_pictures
from lightning_topolip.topology.history import History
from lightning_topolip.trainer.budget import Overhead
from lightning_topolip.trainer.processes import Processes

When = bool | Literal["auto"]


@dataclass(frozen=True)
class _Scene:
    """A run up to an analysis, and the step at which it is shown."""

    history: History
    step: int


class Artist:
    """Draws the figures of a fit, in its first process, for the loggers that can show them.

    Under ``"auto"`` they are drawn whenever their cost fits, see `Overhead.allows_figures`, or, in the background, when
    the ones before are done; and after the last analysis in any case. Drawing holds the interpreter's lock, so that in
    the background it is done by a process, whatever the engine.

    Args:
        trainer: The trainer.
        prefix: Prefix of their names.
        when: Whether to draw after every analysis, never, or ``"auto"``.
        layers: Layers whose diagrams are drawn.
        overhead: Counts the seconds.
        budget: Share of training time that analyses and figures may take, or None.
        background: Whether training continues meanwhile.
        warn: Gets a sentence per failure.
    """

    def __init__(
        self,
        trainer: Trainer,
        prefix: str,
        when: When,
        *,
        layers: Sequence[str] | None,
        overhead: Overhead,
        budget: float | None,
        background: bool,
        warn: Callable[[str], None],
    ) -> None:
        self._loggers = trainer.loggers
        self._prefix = prefix
        self._when = when if trainer.is_global_zero and any(map(shows_figures, trainer.loggers)) else False
        self._layers = layers
        self._overhead = overhead
        self._budget = budget
        self._warn = warn
        self._undrawn: list[_Scene] = []
        self._under_way: tuple[_Scene, Future[Pictures]] | None = None
        can_start_processes = not multiprocessing.current_process().daemon
        self._processes = Processes(1, None, niceness=19) if background and can_start_processes else None

    def follow(self, history: History, step: int) -> None:
        """Draw a run up to its latest analysis if it is time to, within a block that is counted as analysis."""
        if not self._when:
            return
        scene = _Scene(history.snapshot() if self._processes else history, step)
        self._undrawn = [*self._undrawn, scene] if self._when is True else [scene]
        if self._processes:
            self._pass_on(self._processes)
        elif self._when is True or self._overhead.allows_figures(self._budget):
            self._draw()

    def collect(self) -> None:
        """Show the figures that the background has drawn."""
        if self._under_way and self._under_way[1].done():
            scene, future = self._under_way
            self._under_way = None
            with self._overhead.counted():
                try:
                    self._show(scene, future.result())
                except Exception as error:
                    self._warn(f"TopoLip lost the process that draws figures: {error!r}. Training continues.")
                    self._take_back(scene)
                if self._processes:
                    self._pass_on(self._processes)

    def finish(self) -> None:
        """Draw the last analysis if it was not drawn, without waiting for the background, which others may delay."""
        self.collect()
        if self._under_way:
            self._take_back(self._under_way[0])
        with self._overhead.counted():
            self._draw()

    def stop(self) -> None:
        """Stop the process; figures under way are lost."""
        self._under_way = None
        if self._processes:
            self._processes.stop()

    def _pass_on(self, processes: Processes) -> None:
        """Have the process draw the next figures, if it is not at work."""
        if self._undrawn and not self._under_way:
            scene = self._undrawn.pop(0)
            self._under_way = (scene, processes.submit(draw_pictures, scene.history, self._layers))

    def _take_back(self, scene: _Scene) -> None:
        """Go on without the process; older figures than the latest are drawn only if all are."""
        self.stop()
        self._processes = None
        if self._when is True or not self._undrawn:
            self._undrawn.insert(0, scene)

    def _draw(self) -> None:
        """Draw here what is not drawn yet."""
        while self._undrawn:
            scene = self._undrawn.pop(0)
            with self._overhead.counted_as_figures():
                self._show(scene, draw_pictures(scene.history, self._layers))

    def _show(self, scene: _Scene, pictures: Pictures) -> None:
        log_pictures(self._loggers, pictures, scene.step, self._prefix, self._warn)
