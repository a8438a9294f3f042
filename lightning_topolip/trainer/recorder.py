"""The record of the analyses: the history of the run, its loggers and monitors, and the warnings."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from lightning.pytorch import Trainer

from lightning_topolip.display.figures import log_figures
from lightning_topolip.display.loggers import log_scalars
from lightning_topolip.notices import Notices, layers_in_words
from lightning_topolip.topology.history import History
from lightning_topolip.topology.layer_geometry import undefined_numbers
from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.trainer.artist import Artist, When
from lightning_topolip.trainer.failure import Failure
from lightning_topolip.trainer.keys import scalars, undefined_before_the_second, without_layers
from lightning_topolip.trainer.schedule import Moment

_log = logging.getLogger(__name__)


class Recorder:
    """Records the analyses of a run, and warns of each problem once.

    Args:
        prefix: Prefix of the logged keys.
        headline: Names of the numbers that are NaN if the first analysis fails.
        figures: Whether figures are drawn, see `Artist`.
        diagram_layers: Layers whose diagrams are drawn.
        on_error: ``"warn"`` records a failed analysis as NaN; ``"raise"`` raises its error.

    Attributes:
        history: Curves and drifts of all analyses so far.
        latest: The latest numbers by key, for callbacks that monitor them.
        latest_step: Optimizer steps taken by the analysis that they come from; None before the first.
        notices: Warnings that are given once per fit.
        logs_layers: Whether loggers get the numbers of every layer.
        artist: Draws the figures of a fit.
    """

    def __init__(
        self,
        prefix: str,
        headline: Sequence[str],
        *,
        figures: When,
        diagram_layers: Sequence[str] | None,
        on_error: Literal["warn", "raise"],
    ) -> None:
        self.prefix = prefix
        self.figures = figures
        self.diagram_layers = diagram_layers
        self.on_error = on_error
        self.history = History()
        self.latest: dict[str, float] = {}
        self.latest_step: int | None = None
        self.notices = Notices()
        self.logs_layers = True
        self.artist: Artist | None = None
        self._headline = headline
        self._analyses = 0
        self._reasons: Counter[str] = Counter()

    def with_prefix(self, prefix: str) -> Recorder:
        """Return an empty recorder with another prefix, for an analysis outside a fit."""
        return Recorder(
            prefix,
            self._headline,
            figures=self.figures,
            diagram_layers=self.diagram_layers,
            on_error=self.on_error,
        )

    def begin(self, history: History) -> None:
        """Start over, or continue a history."""
        self.history = history
        self.latest, self.latest_step = {}, None
        self._analyses, self._reasons = 0, Counter()
        self.notices.clear()
        if history.last is not None:
            self.latest_step = history.optimizer_steps[-1]
            self.latest = undefined_before_the_second(self.prefix) | scalars(history, self.prefix)

    def record(
        self, trainer: Trainer, moment: Moment, outcome: SmoothnessReport | Failure, extra: Mapping[str, float]
    ) -> None:
        """Add an analysis to the history, and write it to the loggers at the step it belongs to.

        Args:
            trainer: The trainer, whose loggers are written to.
            moment: The moment of the analysis.
            outcome: The report, or the failure.
            extra: Further numbers of the analysis, such as its seconds.

        Raises:
            Exception: The error, under ``on_error="raise"``.
        """
        values = self.take(moment, outcome) | {f"{self.prefix}/{name}": value for name, value in extra.items()}
        self.latest |= values
        log_scalars(trainer.loggers, {**self.logged(values), "epoch": moment.epoch}, moment.logged_step)
        if self.artist and isinstance(outcome, SmoothnessReport):
            self.artist.follow(self.history, moment.logged_step)

    def logged(self, values: Mapping[str, float]) -> dict[str, float]:
        """The numbers that loggers get."""
        return dict(values) if self.logs_layers else without_layers(values, self.prefix)

    def take(self, moment: Moment, outcome: SmoothnessReport | Failure) -> dict[str, float]:
        """Add an analysis to the history and return its numbers by key, all NaN for one that failed.

        Raises:
            Exception: The error, under ``on_error="raise"``.
        """
        self._analyses += 1
        try:
            if isinstance(outcome, Failure):
                raise outcome.error
            values = self._values(moment, outcome)
        except Exception as error:
            if self.on_error == "raise":
                raise
            values = self._failed(outcome if isinstance(outcome, Failure) else Failure(error))
        self.latest, self.latest_step = undefined_before_the_second(self.prefix) | values, moment.steps
        return values

    def conclude(self) -> None:
        """Warn at the end of a run of the analyses that failed or measured no layer, with the most frequent reason."""
        if self._reasons:
            ((reason, count),) = self._reasons.most_common(1)
            most_often = f", most often ({count} times) for this reason" if len(self._reasons) > 1 else ""
            failed = f"{self._reasons.total()} of {self._analyses} TopoLip analyses failed and gave NaN"
            self.notices.warn(f"{failed}{most_often}: {reason}")

    def draw(self, trainer: Trainer, moment: Moment, prefix: str) -> None:
        """Draw an analysis outside a fit, under a prefix of its own, for the loggers that show figures."""
        if self.figures and trainer.is_global_zero:
            step = moment.logged_step
            log_figures(trainer.loggers, self.history, step, prefix, self.diagram_layers, self.notices.warn)

    def _values(self, moment: Moment, report: SmoothnessReport) -> dict[str, float]:
        difference = self.history.difference(report)
        if difference:
            self.notices.warn(f"TopoLip cannot continue the curves and starts new ones: {difference}.")
            self.history = History()
        self.history.add(moment.position, report, moment.steps)
        self.notices.warn_by_reason(report.failures, "TopoLip cannot measure")
        if report.failures and not np.isfinite(report.curve).any():
            ((reason, _),) = Counter(report.failures.values()).most_common(1)
            layers = layers_in_words([name for name, why in report.failures.items() if why == reason])
            self._reasons[f"no step could be measured, as TopoLip cannot measure {layers}: {reason}"] += 1
        steps = len(report.scored_drifts())
        if steps < 2:
            self.notices.warn(
                f"TopoLip needs two steps from layer to layer and speed one, got {steps}; name more layers in "
                "TopoLipCallback(layers=...)."
            )
        undefined = undefined_numbers(report.geometry)
        undefined += report.local_lipschitz.undefined() if report.local_lipschitz else []
        for sentence in undefined:
            self.notices.warn(f"TopoLip, {sentence}")
        return scalars(self.history, self.prefix)

    def _failed(self, failure: Failure) -> dict[str, float]:
        _log.debug("The analysis failed.", exc_info=failure.error)
        self._reasons[repr(failure.error)] += 1
        advice = f"{failure.advice} " if failure.advice else ""
        self.notices.warn(
            f"A TopoLip analysis failed: {failure.error!r}. Its values are NaN and training continues. {advice}"
            "on_error='raise' stops training instead."
        )
        return dict.fromkeys(self.latest or [f"{self.prefix}/{name}" for name in self._headline], math.nan)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to the run under way."""
        return {**vars(self), "artist": None}
