"""The analysis of a validation or a test outside a fit."""

from __future__ import annotations

import math

from lightning.pytorch import LightningModule, Trainer

from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.trainer.analyst import Analyst
from lightning_topolip.trainer.failure import Failure
from lightning_topolip.trainer.probe import Stage
from lightning_topolip.trainer.progress import logged_step
from lightning_topolip.trainer.recorder import Recorder
from lightning_topolip.trainer.schedule import Moment


class Evaluation:
    """Analyses the weights that the batches saw, and logs the numbers with the results.

    Args:
        analyst: An analyst without a background.
        recorder: Its recorder.
        figures: Prefix of the figures, which stand beside those of a fit.

    Attributes:
        analyst: As given.
    """

    def __init__(self, analyst: Analyst, recorder: Recorder, figures: str) -> None:
        self.analyst = analyst
        self._recorder = recorder
        self._figures = figures
        self._outcome: SmoothnessReport | Failure | None = None

    def see(self, stage: Stage) -> None:
        """Analyse the weights that all batches saw, once."""
        if self._outcome is None:
            self.analyst.end(stage)
            self._outcome = self.analyst.report()
            self.analyst.stop()

    def log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the numbers and draw the figures, after `see`."""
        assert self._outcome is not None
        moment = Moment(math.nan, trainer.global_step, trainer.current_epoch, logged_step(trainer))
        pl_module.log_dict(self._recorder.take(moment, self._outcome), sync_dist=trainer.world_size > 1, batch_size=1)
        self._recorder.draw(trainer, moment, self._figures)
