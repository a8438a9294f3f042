"""The analysis of a validation or a test outside a fit."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer

from lightning_topolip.trainer.analyst import Analyst
from lightning_topolip.trainer.progress import logged_step
from lightning_topolip.trainer.recorder import Recorder
from lightning_topolip.trainer.schedule import Moment


class Evaluation:
    """Analyses the weights that the batches saw, and logs the numbers with the results.

    Args:
        analyst: An analyst without a background.
        recorder: Its recorder.
    """

    def __init__(self, analyst: Analyst, recorder: Recorder) -> None:
        self._recorder = recorder
        self._outcome = analyst.report()
        analyst.stop()

    def log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the numbers and draw the figures."""
        moment = Moment(0.0, trainer.global_step, trainer.current_epoch, logged_step(trainer))
        pl_module.log_dict(self._recorder.take(moment, self._outcome), sync_dist=trainer.world_size > 1, batch_size=1)
        self._recorder.draw(trainer, moment)
