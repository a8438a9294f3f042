"""The callback: when to analyse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import Unpack

from lightning_topolip.arguments import require_names, require_one_of, require_text, require_whole_number
from lightning_topolip.network.batches import FEWEST_SAMPLES, run_model
from lightning_topolip.network.layers import resolve_layers
from lightning_topolip.network.masks import Mask
from lightning_topolip.network.samples import samples_in
from lightning_topolip.network.subject import Forward, SamplesFn, Subject
from lightning_topolip.topology.engines import require_engine
from lightning_topolip.topology.history import History
from lightning_topolip.topology.settings import Settings, SettingsOptions
from lightning_topolip.trainer.analyst import Analyst
from lightning_topolip.trainer.artist import Artist
from lightning_topolip.trainer.budget import Overhead, read_share
from lightning_topolip.trainer.evaluation import Evaluation
from lightning_topolip.trainer.keys import headline_names, logs_layers
from lightning_topolip.trainer.lipschitz import require_whole_model
from lightning_topolip.trainer.placement import Placement
from lightning_topolip.trainer.probe import Stage, require_source
from lightning_topolip.trainer.progress import evaluation_ends
from lightning_topolip.trainer.ranks import warn_of_lost_history
from lightning_topolip.trainer.recorder import Recorder
from lightning_topolip.trainer.schedule import Schedule
from lightning_topolip.trainer.state import history_from_state, history_state
from lightning_topolip.trainer.watch import Watch


class TopoLipCallback(Callback):
    """Watch how smoothly a network carries its data from layer to layer and from epoch to epoch.

    On a fixed probe it analyses the network once before training and then at the end of every n-th epoch: the weights
    that the validation saw, or else those after the training epoch; for an `IterableDataset` of unknown length after
    every n-th validation; and once more if training ends in between or a callback replaces the weights at its end.
    Training is bit-identical with and without it, as far as `take_probe` and `borrowed` can restore loader, data set
    and model. `trainer.validate` and `trainer.test` alone analyse once; a test's keys begin with ``topolip_test``.

    **Logged keys**, written to every logger and, for callbacks that monitor them (``check_finite=False``), to
    ``log_dict``. Drifts are per sample, ``n^(-1/p) W_p``, in units of a layer's mean distance or of its activations
    (raw). Errors are standard errors: how far a number would move on another probe of the same size.

    - ``topolip/score``: TopoLip, mean absolute change of the drift from step to step; lower is smoother
    - ``topolip/speed_mean``, ``topolip/speed_max``: mean and largest drift from layer to layer; how far features travel
    - ``topolip/input_drift``: drift from the input to the first layer, where the input is real-valued
    - ``topolip/epoch_drift``: drift per epoch since the last analysis, mean over layers; NaN for the first
    - ``topolip/path_length``: how far the diagrams have moved since the first analysis, the sum of the epoch drifts
      times their intervals, mean over layers; compares trainings of different lengths, at equal intervals of analyses
    - ``topolip/<number>_error``: standard error of each of the numbers above
    - ``topolip/change``, ``topolip/change_z``: score minus the score at the analysis before, and the same over its
      standard error; beyond 2 or 3 it is more than sampling
    - ``topolip/noise``: TopoLip that a perfectly even network would show on this probe
    - ``topolip/signal``: score over noise; about 1 is due to sampling, well above is due to the network
    - ``topolip/seconds``: seconds that the analysis took, without its figures
    - ``topolip/overhead``: share of the time so far, 0 to 1, for which training waited for analyses, figures included
    - ``topolip/skipped``: analyses skipped so far under ``when_full="skip"``
    - ``topolip_depth/<layer>``: drift from the layer before to this layer
    - ``topolip_epoch/<layer>``: epoch drift of this layer

    Under ``geometry=True``, from the distances within each layer's cloud, the raw ones whatever the view. They are
    comparable only between probes of the same size:

    - ``topolip_variance/<layer>``: sum of the variances of all features, in squared units of the activations
    - ``topolip_two_nn/<layer>``: intrinsic dimension by TwoNN; how many directions a sample's neighbourhood has
    - ``topolip_participation/<layer>``: effective number of directions that share the variance, 1 to n - 1
    - ``topolip_covering/<layer>``: growth rate of the covering numbers, a dimension over all scales
    - ``topolip_rankme/<layer>``: effective rank, 1 to n - 1; a training without labels in which it falls collapses
    - ``topolip_alpha_req/<layer>``: power with which the variance decays over the principal axes
    - ``topolip/total_variance``, ``topolip/two_nn_dimension``, ``topolip/participation_ratio``,
      ``topolip/covering_dimension``, ``topolip/rankme``, ``topolip/alpha_req``: their means over the network's layers
    - ``topolip_lipschitz/<layer>``: largest stretch of a pair of samples from the input to this layer, a lower bound on
      the Lipschitz constant, in units of the layer over units of the input; where the input is real-valued

    Under ``pairing=True``, how differently consecutive layers connect the same samples, see `paired_drift`:

    - ``topolip/paired_speed``, ``topolip/paired_speed_error``: mean over the steps, and its standard error
    - ``topolip_paired/<layer>``: of the step from the layer before to this layer

    Under ``lipschitz=N``, the largest singular value of the Jacobian over N samples, a lower bound on the Lipschitz
    constant, in units of the later layer over units of the earlier one:

    - ``topolip_local_lipschitz/<layer>``: of the step from the layer before to this layer; ``<output>`` comes last
    - ``topolip/local_lipschitz``: of the whole network, from the input, or else the first layer, to the output

    Of more than 24 layers, the keys of single layers go to callbacks and not to loggers, see ``layer_scalars``.

    Figures, if the logger shows them: ``topolip/smoothness``, ``topolip/epoch_map``, ``topolip/diagrams``.

    Args:
        layers: ``"auto"`` finds the repeated blocks; a pattern such as ``"network.blocks.*"``; or a list of names.
        probe: A `DataLoader` or a batch to take the probe from. By default the validation data, else the training data;
            the validation data do not exist before training without sanity checking and with
            ``check_val_every_n_epoch`` above 1.
        probe_size: Number of samples n. Time grows faster than n^2; small samples bias the drifts.
        probe_batch_size: Largest number of samples of one forward, for a network that does not fit into memory with the
            whole probe; None runs it at once. A layer whose output for a sample depends on the others is skipped.
        every_n_epochs: Analyse whenever another n epochs are complete.
        every_n_steps: Analyse whenever another n optimizer steps are complete, instead; epoch drifts stay per epoch.
        budget: Largest ``topolip/overhead``, such as ``"5%"`` or 0.05. It chooses the size of the probe, at least 64,
            from timed smaller ones, logs the choice, and skips later analyses that would exceed the share.
        lipschitz: Number of samples, the first of the probe, for local Lipschitz constants of every step; 0 for none.
            They take many forward and backward passes of these samples while training waits.
        forward_fn: Called as ``forward_fn(pl_module, batch)`` instead of the module itself, for a module whose
            ``forward`` does not take the batch's inputs. By default a module whose ``forward`` is missing or fails
            on the probe runs its ``validation_step`` instead, with a warning; what that logs or changes has no effect.
        samples_fn: Counts the samples of a batch, where they are not what `samples_in` counts.
        mask: Which positions of sequences are real tokens, so that padding never counts: the name of an entry of the
            batch, not 0 for real tokens, shape ``(n, T)``, or the lengths, shape ``(n,)``; a function of the batch that
            returns such a tensor; None looks for none. ``"auto"`` takes an ``attention_mask``, a ``..._padding_mask``
            or ``lengths``. Packed sequences and nested tensors tell their own lengths in any case.
        workers: Layers whose persistence is computed at once while training waits: by threads, or by processes for the
            engines that hold the interpreter's lock, ``"giotto"`` and ``"ripser"``; 0 for none beside the training
            thread. By default as many threads as torch has, and no processes.
        background: Whether another thread, or process for these engines, computes persistence and distances while
            training continues. Results are logged at the step they belong to. If a callback or scheduler monitors a
            key, training waits for the results whenever it looks, so that it does not see an earlier one.
        queue_size: Largest number of analyses under way in the background, layers x n x n x 4 bytes each.
        when_full: ``"wait"`` for room in the queue, or ``"skip"`` the analysis.
        figures: ``"auto"`` draws after the last analysis, and before it whenever all figures together take at most a
            tenth of the time, or half of a ``budget``; with ``background=True`` another process draws, as often as it
            can. True draws after every analysis, False never.
        layer_scalars: Whether loggers get the numbers of every layer, the keys that end with ``/<layer>``. ``"auto"``:
            of at most 24 layers. More would be 50 charts and more; the figures show them all.
        diagram_layers: Layers whose diagrams are drawn; first, middle and last by default.
        on_error: ``"warn"``: an analysis that fails is NaN with a warning and training continues. ``"raise"``.
        prefix: Prefix of the logged keys, different for each of several callbacks in one trainer.
        **settings: The settings of the analysis, such as ``order=1`` or ``geometry=True``, see `SettingsOptions`.

    Raises:
        TypeError: If there is no such setting.
        ValueError: If an argument is not allowed, or, when the fit starts, a layer does not exist or ``lipschitz`` is
            given for a sharded model.
        ModuleNotFoundError: If the engine's package is not installed.

    Source:
        After arXiv:2410.17628.

    Example::

        trainer = Trainer(callbacks=[TopoLipCallback()])
    """

    def __init__(
        self,
        layers: str | Sequence[str] = "auto",
        *,
        probe: Any = None,
        probe_size: int = 256,
        probe_batch_size: int | None = None,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        budget: str | float | None = None,
        lipschitz: int = 0,
        forward_fn: Forward | None = None,
        samples_fn: SamplesFn = samples_in,
        mask: Mask = "auto",
        workers: int | None = None,
        background: bool = False,
        queue_size: int = 2,
        when_full: Literal["wait", "skip"] = "wait",
        figures: bool | Literal["auto"] = "auto",
        layer_scalars: bool | Literal["auto"] = "auto",
        diagram_layers: Sequence[str] | None = None,
        on_error: Literal["warn", "raise"] = "warn",
        prefix: str = "topolip",
        **settings: Unpack[SettingsOptions],
    ) -> None:
        analysed = Settings.from_options(settings, TopoLipCallback.__init__.__kwdefaults__ or ())
        self.subject = Subject(layers, forward_fn or run_model, analysed, samples_fn, probe_batch_size, mask)
        require_engine(self.subject.settings.engine)
        require_whole_number("probe_size", probe_size, FEWEST_SAMPLES)
        require_whole_number("lipschitz", lipschitz, FEWEST_SAMPLES, or_zero=True, largest=probe_size)
        require_source(probe)
        require_text("prefix", prefix)
        require_names("diagram_layers", diagram_layers)
        require_one_of("on_error", on_error, ("warn", "raise"))
        require_one_of("figures", figures, (True, False, "auto"))
        require_one_of("layer_scalars", layer_scalars, (True, False, "auto"))
        self.prefix = prefix
        self.probe_size = probe_size
        self.lipschitz = lipschitz
        self.layer_scalars = layer_scalars
        self.placement = Placement(workers=workers, background=background, queue_size=queue_size, when_full=when_full)
        self._source = probe
        self._share = read_share(budget)
        self._schedule = Schedule(every_n_epochs, every_n_steps)
        names = headline_names(geometry=analysed.geometry, lipschitz=lipschitz > 0, pairing=analysed.pairing)
        self._recorder = Recorder(prefix, names, figures=figures, diagram_layers=diagram_layers, on_error=on_error)
        self._overhead = Overhead()
        self._watch: Watch | None = None
        self._evaluation: Evaluation | None = None
        self._restored: History | None = None

    @property
    def history(self) -> History:
        """Curves and drifts of all analyses so far."""
        return self._recorder.history

    @property
    def analysis_seconds(self) -> float:
        """Seconds that training has waited for analyses in the latest fit, figures included."""
        return self._overhead.seconds

    @property
    def state_key(self) -> str:
        """Key that tells several callbacks apart in a checkpoint."""
        return f"TopoLipCallback(prefix={self.prefix!r})"

    def state_dict(self) -> dict[str, Any]:
        """Return the run so far as plain values and tensors, for a checkpoint, after waiting for analyses under way."""
        if self._watch:
            self._watch.analyst.collect(drain=True)
        return history_state(self.history)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curves of a checkpoint; if its state does not fit, warn and start new curves."""
        try:
            self._restored = history_from_state(state_dict, self.subject.settings)
        except Exception as error:
            rank_zero_warn(f"TopoLip cannot continue the curves of the checkpoint and starts new ones: {error}.")
            self._restored = History()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to the run under way."""
        return {**vars(self), "_watch": None, "_evaluation": None}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse settings that the trainer's strategy does not allow."""
        require_whole_model(trainer, self.lipschitz)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resolve the layers, so that a wrong name raises before anything runs, and start or resume the curves.

        A network in which ``"auto"`` finds no layers is not watched, with a warning.
        """
        self._overhead = Overhead()
        history = self.history if trainer.global_step else History()
        self._recorder.begin(history if self._restored is None else self._restored)
        self._restored = None
        if not self._can_watch(pl_module):
            return
        analyst = self._new_analyst(trainer, pl_module, self._recorder, self.placement)
        artist = self._recorder.artist = self._new_artist(trainer)
        self._watch = Watch(
            trainer, pl_module, analyst, artist, self._recorder, self._schedule, self._overhead, self._share
        )
        warn_of_lost_history(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the cost of an analysis, and analyse the network before training."""
        if self._watch:
            self._watch.start_training()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the epoch starts."""
        if self._watch:
            self._watch.start_epoch()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """See a batch that the probe may have to be taken from."""
        self._deliver("train", batch, batch_idx)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Analyse when a number of steps, or an epoch that no validation follows, is complete; record results."""
        if self._watch:
            self._watch.end_batch()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the analysis of a validation alone."""
        if trainer.state.fn == "validate":
            self._begin_evaluation(trainer, pl_module, self.prefix, "validate")

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """See a batch that the probe may have to be taken from."""
        self._deliver("validate", *args)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Analyse after the last batch, before any callback takes averaged weights out of the module."""
        if not evaluation_ends(trainer):
            return
        if self._evaluation:
            self._evaluation.see("validate")
        elif self._watch:
            self._watch.see_validation()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the numbers of a validation, within a fit or alone."""
        if self._evaluation:
            self._end_evaluation(trainer, pl_module, "validate")
        elif self._watch:
            self._watch.end_validation()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse at the end of an epoch that had no validation, and log the numbers."""
        if self._watch:
            self._watch.end_epoch()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse once more if training ended between two analyses, and wait for analyses under way."""
        if self._watch:
            self._watch.end_training()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse the final weights if a callback replaced them at the end of training, and say what failed."""
        if self._watch:
            self._watch.end_fit()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Notice a monitor that has a checkpoint written by an older value."""
        if self._watch:
            self._watch.see_checkpoint()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the analysis on the test data."""
        self._begin_evaluation(trainer, pl_module, f"{self.prefix}_test", "test")

    def on_test_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """See a batch that the probe may have to be taken from."""
        self._deliver("test", *args)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Analyse on the test data after their last batch."""
        if self._evaluation and evaluation_ends(trainer):
            self._evaluation.see("test")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the numbers of a test."""
        self._end_evaluation(trainer, pl_module, "test")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Record and draw the results that are ready, say what failed, and stop the workers."""
        try:
            if self._watch:
                self._watch.end_early()
        finally:
            self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop the workers, and release trainer and module."""
        self._restored = self._evaluation = None
        if self._watch and self._watch.analyst.belongs_to(trainer):
            self._watch.stop()
            self._watch = self._recorder.artist = None

    def _deliver(self, stage: Stage, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        run = self._evaluation or self._watch
        if run and dataloader_idx == 0:
            run.analyst.deliver(stage, batch, batch_idx)

    def _can_watch(self, pl_module: LightningModule) -> bool:
        if self.subject.layers != "auto" or self._recorder.on_error == "raise":
            return True
        try:
            resolve_layers(pl_module)
        except ValueError as error:
            rank_zero_warn(f"TopoLip does not watch this training: {error}")
            return False
        return True

    def _begin_evaluation(self, trainer: Trainer, pl_module: LightningModule, prefix: str, stage: Stage) -> None:
        if not self._can_watch(pl_module):
            return
        recorder, in_place = self._recorder.with_prefix(prefix), replace(self.placement, background=False)
        analyst = self._new_analyst(trainer, pl_module, recorder, in_place)
        self._evaluation = Evaluation(analyst, recorder, f"{self.prefix}_{stage}")

    def _end_evaluation(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        if self._evaluation:
            self._evaluation.see(stage)
            self._evaluation.log(trainer, pl_module)
            self._evaluation = None

    def _new_analyst(
        self, trainer: Trainer, pl_module: LightningModule, recorder: Recorder, placement: Placement
    ) -> Analyst:
        analyst = Analyst(
            trainer,
            pl_module,
            self.subject,
            source=self._source,
            probe_size=self.probe_size,
            recorder=recorder,
            overhead=self._overhead,
            placement=placement,
            lipschitz=self.lipschitz,
        )
        recorder.logs_layers = logs_layers(self.layer_scalars, analyst.names)
        return analyst

    def _new_artist(self, trainer: Trainer) -> Artist:
        return Artist(
            trainer,
            self.prefix,
            self._recorder.figures,
            layers=self._recorder.diagram_layers,
            overhead=self._overhead,
            budget=self._share,
            background=self.placement.background,
            warn=self._recorder.notices.warn,
        )
