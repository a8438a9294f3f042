"""The watch over one fit: when it analyses, which weights, and what the monitors are shown."""

from __future__ import annotations

import contextlib

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lightning_topolip.display.layout import log_layout
from lightning_topolip.trainer.analyst import Analyst
from lightning_topolip.trainer.artist import Artist
from lightning_topolip.trainer.budget import Overhead
from lightning_topolip.trainer.device import on_training_device
from lightning_topolip.trainer.monitors import Monitors, Sight
from lightning_topolip.trainer.progress import epoch_ends, validation_follows
from lightning_topolip.trainer.recorder import Recorder
from lightning_topolip.trainer.schedule import Schedule


class Watch:
    """Analyses the network of a fit whenever it is due, at the first hook where its weights are final.

    After a validation these are the weights that its batches saw, so they are analysed before any callback's
    ``on_validation_epoch_end`` puts others back. An epoch without validation is analysed at its last batch, before any
    callback's ``on_train_epoch_end`` looks at the numbers.

    Args:
        trainer: The trainer, with its optimizers.
        pl_module: Its module.
        analyst: Analyses on request.
        artist: Draws the figures.
        recorder: Its recorder, which holds the curves to continue.
        schedule: When an analysis is due.
        overhead: Counts the seconds of analyses.
        share: Share of training time that analyses may take, or None.

    Attributes:
        analyst: As given.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        analyst: Analyst,
        artist: Artist,
        recorder: Recorder,
        schedule: Schedule,
        overhead: Overhead,
        share: float | None,
    ) -> None:
        self.analyst = analyst
        self._artist = artist
        self._trainer = trainer
        self._module = pl_module
        self._recorder = recorder
        self._schedule = schedule
        self._overhead = overhead
        self._share = share
        self._monitors = Monitors(trainer, recorder.prefix, schedule)
        self._saw_validation = False
        self._is_prepared = False
        schedule.begin(trainer, recorder.history)

    def start_training(self) -> None:
        """Compile what an analysis needs, log its cost, and analyse the network before training."""
        self.analyst.warm_up()
        if self._trainer.strategy.broadcast(self.analyst.has_probe):
            self._prepare()
        if self._schedule.due(self._schedule.now(self._trainer)):
            self._describe_layers()
        self._analyze_if_due()
        self._overhead.start_training()

    def start_epoch(self) -> None:
        """Note where the epoch starts."""
        self._schedule.begin_epoch(self._trainer)

    def end_batch(self) -> None:
        """Analyse when a number of steps, or an epoch that no validation follows, is complete; record results."""
        self._observe_monitors()
        epoch_end = epoch_ends(self._trainer) and not validation_follows(self._trainer)
        if epoch_end:
            self.analyst.end("train")
            self._schedule.end_epoch()
        by_steps = self._schedule.every_n_steps and self._schedule.due(self._schedule.now(self._trainer))
        analysed = bool(epoch_end or by_steps) and self._analyze_if_due()
        if self._monitors.at_every_step or (analysed and (self._monitors or not self.analyst.in_background)):
            self._show(on_step=True)
        if self._trainer.world_size == 1 or self._recorder.on_error == "warn":
            self.analyst.collect()
        self._artist.collect()
        self._observe_monitors()

    def see_validation(self) -> None:
        """Analyse the weights that a validation saw, once."""
        if self._trainer.sanity_checking:
            return
        self.analyst.end("validate")
        if not self._saw_validation:
            self._saw_validation = True
            self._schedule.end_validation()
            self._analyze_if_due()

    def end_validation(self) -> None:
        """Show the numbers to callbacks that look after a validation."""
        if not self._trainer.sanity_checking:
            self.see_validation()
            self._saw_validation = False
            self._show()

    def end_epoch(self) -> None:
        """Analyse at the end of an epoch that had no validation, and show the numbers."""
        self.analyst.end("train")
        self._schedule.end_epoch()
        self._analyze_if_due()
        self.analyst.remember_weights(analysed=False)
        self._show()

    def end_training(self) -> None:
        """Analyse once more if training ended between two analyses, and wait for analyses under way."""
        self._observe_monitors()
        self._analyze_if(self._schedule.newer(self._schedule.now(self._trainer)))
        self.analyst.collect_together(drain=True)
        self._artist.finish()

    def end_fit(self) -> None:
        """Analyse the final weights if a callback replaced them at the end of training, and say what failed."""
        if self._trainer.strategy.broadcast(self.analyst.weights_replaced()):
            with on_training_device(self._trainer, self._module):
                self._analyze_if(True)
                self.analyst.collect_together(drain=True)
            self._artist.finish()
        self._show_final()
        self._recorder.conclude()

    def end_early(self) -> None:
        """Record and draw the results that are ready when an error ends the fit, and say what failed."""
        for ready in (self.analyst.collect, self._artist.finish):
            with contextlib.suppress(Exception):
                ready()
        self._recorder.conclude()

    def stop(self) -> None:
        """Stop analyses and figures; those under way are lost."""
        self.analyst.stop()
        self._artist.stop()

    def see_checkpoint(self) -> None:
        """Notice a monitor that has a checkpoint written by an older value."""
        self._monitors.observe()

    def _describe_layers(self) -> None:
        """Lay out the numbers of every layer for TensorBoard, or say that loggers get none."""
        names = self.analyst.names if self._recorder.logs_layers else []
        log_layout(self._trainer.loggers, self._recorder.prefix, names)
        if not names and self._trainer.loggers:
            rank_zero_info(
                f"TopoLip logs no numbers of single layers, for there are {len(self.analyst.names)} of them; the "
                "figures show them all, and TopoLipCallback(layer_scalars=True) logs them."
            )

    def _show(self, *, on_step: bool = False) -> None:
        """Log the latest numbers for callbacks that monitor them; on a step all processes have the same."""
        self.analyst.collect_together(drain=bool(self._monitors))
        self._module.log_dict(
            self.analyst.latest(),
            logger=False,
            on_step=on_step,
            on_epoch=not on_step,
            sync_dist=not on_step and self._trainer.world_size > 1,
            batch_size=1,
        )
        self._observe_monitors()

    def _show_final(self) -> None:
        """Put the numbers of the last analysis where those who read them after the fit look; no hook logs any more."""
        self._trainer.callback_metrics.update(
            {key: torch.tensor(value) for key, value in self.analyst.latest().items()}
        )

    def _prepare(self) -> None:
        if not self._is_prepared:
            self._is_prepared = True
            self.analyst.prepare(self._share, self._schedule.epochs_apart(self._trainer))

    def _observe_monitors(self) -> None:
        step, ends = self._trainer.global_step, epoch_ends(self._trainer)
        self._monitors.observe(Sight(step, self._recorder.latest_step, self._schedule.last_due, ends))

    def _analyze_if_due(self) -> bool:
        return self._analyze_if(self._schedule.due(self._schedule.now(self._trainer)))

    def _analyze_if(self, due: bool) -> bool:
        """The first process decides for all: their loaders and clocks may differ."""
        affordable = self._share is None or self._overhead.allows(self._share)
        now = self._schedule.now(self._trainer)
        possible = due and self.analyst.has_probe
        moment, due, affordable = self._trainer.strategy.broadcast((now, possible, affordable))
        if not due:
            return False
        self._prepare()
        self._schedule.mark(moment)
        self.analyst.remember_weights(analysed=True)
        if affordable:
            self.analyst.analyze(moment)
        return affordable
