"""Where the answer goes: into the history of the run, to its loggers and monitors, and to the person who trains."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lightning_topolip.display.figures import log_figures
from lightning_topolip.display.loggers import log_scalars
from lightning_topolip.topology.history import History
from lightning_topolip.topology.layer_geometry import undefined_numbers
from lightning_topolip.topology.report import SmoothnessReport
from lightning_topolip.trainer.keys import headline_names, scalars
from lightning_topolip.trainer.schedule import Moment

_log = logging.getLogger(__name__)


class Recorder:
    """Keeps what a run has shown and tells it, each message once.

    Args:
        prefix: What the logged keys begin with.
        figures: Whether to draw figures.
        diagram_layers: Layers whose diagrams are drawn.
        on_error: ``"warn"`` records a failed analysis as NaN; ``"raise"`` raises it.
        headline: Names of the numbers that are NaN where the first analysis failed; the usual ones by default.

    Attributes:
        history: Curves and drifts of all analyses so far.
        latest: The latest numbers by key, for callbacks that monitor them.
    """

    def __init__(
        self,
        prefix: str,
        figures: bool,
        diagram_layers: Sequence[str] | None,
        on_error: Literal["warn", "raise"],
        headline: Sequence[str] | None = None,
    ) -> None:
        self.prefix = prefix
        self.figures = figures
        self.diagram_layers = diagram_layers
        self.on_error = on_error
        self.history = History()
        self.latest: dict[str, float] = {}
        self._headline = headline or headline_names()
        self._told: set[str] = set()

    def apart(self, prefix: str) -> Recorder:
        """Give a recorder of the same kind for an analysis that belongs to no fit.

        Args:
            prefix: What its keys begin with.

        Returns:
            The recorder.
        """
        return Recorder(prefix, self.figures, self.diagram_layers, self.on_error, self._headline)

    def begin(self, history: History) -> None:
        """Begin anew or go on with a history."""
        self.history = history
        self.latest = {}
        self._told.clear()
        if history.last is not None:
            self.latest = {f"{self.prefix}/epoch_drift": math.nan}
            self.latest |= scalars(history.last, history.drifts[-1], self.prefix)

    def record(
        self, trainer: Trainer, moment: Moment, found: SmoothnessReport | Exception, extra: Mapping[str, float]
    ) -> None:
        """Take an analysis in, and write it to the loggers at the step it belongs to.

        Args:
            trainer: Whose loggers are written to.
            moment: The moment that was analysed.
            found: What was found, or why nothing was.
            extra: Further numbers of the analysis, such as its seconds.

        Raises:
            Exception: What failed, under ``on_error="raise"``.
        """
        values = self.take(moment, found) | {f"{self.prefix}/{name}": value for name, value in extra.items()}
        self.latest |= values
        log_scalars(trainer.loggers, {**values, "epoch": moment.epoch}, moment.logged_step)
        if isinstance(found, SmoothnessReport):
            self.draw(trainer, moment)

    def take(self, moment: Moment, found: SmoothnessReport | Exception) -> dict[str, float]:
        """Take an analysis in; one that failed is NaN in every key.

        Args:
            moment: The moment that was analysed.
            found: What was found, or why nothing was.

        Returns:
            The numbers by key.

        Raises:
            Exception: What failed, under ``on_error="raise"``.
        """
        try:
            if isinstance(found, Exception):
                raise found
            values = self._values(moment, found)
        except Exception as error:
            if self.on_error == "raise":
                raise
            values = self._failed(error)
        self.latest = {f"{self.prefix}/epoch_drift": math.nan, **values}
        return values

    def draw(self, trainer: Trainer, moment: Moment) -> None:
        """Draw the run so far for the loggers that show figures.

        Args:
            trainer: Whose loggers are written to.
            moment: The moment that the figures show last.
        """
        if self.figures and trainer.is_global_zero:
            step = moment.logged_step
            log_figures(trainer.loggers, self.history, step, self.prefix, self.diagram_layers, self.tell_once)

    def tell_once(self, message: str) -> None:
        """Warn, unless that was said before."""
        if message not in self._told:
            self._told.add(message)
            rank_zero_warn(message)

    def _values(self, moment: Moment, report: SmoothnessReport) -> dict[str, float]:
        difference = self.history.difference(report)
        if difference:
            self.tell_once(f"TopoLip cannot continue the curves: {difference}. The curves begin anew.")
            self.history = History()
        moved = self.history.add(moment.position, report, moment.steps)
        for layer, reason in report.failures.items():
            self.tell_once(f"TopoLip cannot measure layer {layer!r}: {reason}")
        undefined = undefined_numbers(report.geometry)
        undefined += report.local_lipschitz.undefined() if report.local_lipschitz else []
        for sentence in undefined:
            self.tell_once(f"TopoLip, {sentence}")
        return scalars(report, moved, self.prefix)

    def _failed(self, error: Exception) -> dict[str, float]:
        _log.debug("The analysis failed.", exc_info=error)
        self.tell_once(
            f"A TopoLip analysis failed: {error!r}. Its values are NaN; training goes on. Where the model's "
            "forward does not take the batch's inputs, give TopoLipCallback(forward_fn=lambda module, batch: ...); "
            "on_error='raise' stops instead."
        )
        return dict.fromkeys(self.latest or [f"{self.prefix}/{name}" for name in self._headline], math.nan)
