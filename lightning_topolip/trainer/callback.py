"""The callback: when to ask for an analysis."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lightning_topolip.arguments import require_each_of, require_one_of, require_whole_number
from lightning_topolip.display.loggers import log_layout
from lightning_topolip.network.batches import FEWEST_SAMPLES, run_model
from lightning_topolip.network.measure import Forward
from lightning_topolip.topology.diagrams import Engine, require_engine
from lightning_topolip.topology.history import History
from lightning_topolip.topology.settings import Reduction, Settings, View
from lightning_topolip.trainer.analyst import Analyst
from lightning_topolip.trainer.budget import Ledger, read_share
from lightning_topolip.trainer.keys import headline_names, is_monitored
from lightning_topolip.trainer.lipschitz import require_whole_model
from lightning_topolip.trainer.recorder import Recorder
from lightning_topolip.trainer.schedule import Moment, Schedule
from lightning_topolip.trainer.state import history_from_state, history_state


class TopoLipCallback(Callback):
    """Watch how smoothly a network carries its data from layer to layer and from epoch to epoch.

    On a fixed probe it analyses the network once before training and then at the end of every n-th epoch: after
    validation, or after the training epoch where no validation ran; of an endless stream after every n-th validation;
    and once more where training ends in between. Training is bit-identical with and without it, as far as loader, data
    set and model keep their random state where `take_probe` and `observe` put it back. `trainer.validate` and
    `trainer.test` alone analyse once; a test's keys begin with ``topolip_test``.

    **Logged keys**, written to every logger, and given to ``log_dict`` at every validation so that
    ``EarlyStopping(monitor="topolip/score", check_finite=False)`` works. Drifts are W_p distances between persistence
    diagrams: in units of a layer's mean distance under ``view="scaled"``, of its activations under ``"raw"``.

    - ``topolip/score``: TopoLip, mean absolute change of the drift from step to step; lower is smoother
    - ``topolip/speed_mean``, ``topolip/speed_max``: mean and largest drift from layer to layer; how far features travel
    - ``topolip/input_drift``: drift from the input to the first layer, where the input is real-valued
    - ``topolip/epoch_drift``: drift an epoch since the last analysis, mean over layers; NaN for the first
    - ``topolip/noise``: drift between random halves of the probe, median; sampling alone explains what is below
    - ``topolip/signal``: drift from layer to layer over that noise, both at half the probe; 1 or less is noise
    - ``topolip/seconds``: what the analysis took, without its figures
    - ``topolip/overhead``: share of the training time so far for which training waited for analyses, figures included;
      not there before training
    - ``topolip/skipped``: analyses left out so far under ``when_full="skip"``
    - ``topolip_depth/<layer>``: drift from the layer before to this layer
    - ``topolip_epoch/<layer>``: epoch drift of this layer

    Under ``geometry=True``, from the distances within each layer's cloud, the raw ones whatever the view; of the same
    number of samples only they compare:

    - ``topolip_variance/<layer>``: sum of the variances of all features, in squared units of the activations
    - ``topolip_two_nn/<layer>``: intrinsic dimension by TwoNN; how many directions a sample's neighbourhood has
    - ``topolip_participation/<layer>``: effective number of directions that share the variance, 1 to n - 1
    - ``topolip_covering/<layer>``: growth rate of the covering numbers, a dimension over all scales
    - ``topolip/total_variance``, ``topolip/two_nn_dimension``, ``topolip/participation_ratio``,
      ``topolip/covering_dimension``: their means over the network's own layers
    - ``topolip_lipschitz/<layer>``: largest stretch of a pair of samples from the input to this layer, a lower bound on
      the Lipschitz constant, in units of the layer over units of the input; where the input is real-valued

    Under ``lipschitz=N``, of N samples the largest singular value of the Jacobian, a lower bound on the Lipschitz
    constant, in units of the later layer over units of the earlier one:

    - ``topolip_local_lipschitz/<layer>``: of the step from the layer before to this layer; ``<output>`` comes last
    - ``topolip/local_lipschitz``: of the whole network, from the input, or else the first layer, to the output

    Figures, where the logger shows them: ``topolip/smoothness``, ``topolip/epoch_map``, ``topolip/diagrams``.

    Args:
        layers: ``"auto"`` finds the repeated blocks; a pattern such as ``"network.blocks.*"``; or a list of names.
        probe: A `DataLoader` or a batch to take the probe from. By default the validation data, else the training data;
            the validation data are not there before training without sanity checking and with
            ``check_val_every_n_epoch`` above 1.
        probe_size: Number of samples n. Time grows faster than n^2; drifts of different n are not comparable.
        every_n_epochs: Analyse when another n epochs are complete.
        every_n_steps: Analyse when another n optimizer steps are complete, instead of at epochs; in the middle of an
            epoch the drift is still an epoch's.
        budget: Share of training time that analyses may take, such as ``"5%"`` or 0.05. From a small pilot it chooses
            the probe, at most ``probe_size`` and at least 64, and it leaves out analyses that would go above the share;
            the first one is always made. Which ones are left out depends on the clock.
        order: Order p of the Wasserstein distance, from 1 to ``math.inf``.
        dimensions: Homology dimensions.
        reduction: ``"flatten"``, ``"mean"`` over positions, or ``"cls"``, token 0.
        engine: ``"giotto"``, ``"ripser"`` or ``"gudhi"``.
        view: ``"scaled"`` or ``"raw"``: which of the two views the keys carry.
        include_input: Whether the step from the input joins score and speed.
        noise_splits: Random halvings of the probe for the noise band; 0 leaves it out.
        subset_size: A probe of at least twice this size is cut into random subsets of it, and drifts are means over
            them; None takes every probe as a whole.
        seed: Seed of the halvings and of what the model draws during an analysis.
        geometry: Whether to compute variance, dimensions and stretch from the input of every layer too.
        lipschitz: Number of samples, the first of the probe, for local Lipschitz constants of every step; 0 for none.
            They take many forward and backward passes of these samples at every analysis, while training waits.
        forward_fn: Called as ``forward_fn(pl_module, batch)`` where ``forward`` with the batch's inputs is not what
            is to be analysed.
        workers: Processes that compute persistence, several layers at once, while training waits; 0 for none.
        background: Whether a process of its own computes persistence and distances while training goes on. Results are
            logged at the step they belong to. Callbacks that monitor a key would see it one analysis late; where there
            is such a callback or scheduler, training waits at each validation.
        queue_size: Most analyses under way in the background; they hold up to queue_size x layers x n x n x 4 bytes.
        when_full: ``"wait"`` for room in the queue, or ``"skip"`` the analysis.
        figures: Whether to draw figures.
        diagram_layers: Layers whose diagrams are drawn; first, middle and last by default.
        on_error: ``"warn"``: an analysis that fails is NaN with a warning and training goes on. ``"raise"``.
        prefix: What the logged keys begin with, and the state in a checkpoint; different for each of several callbacks
            in one trainer, which refuses them otherwise.

    Raises:
        ValueError: If an argument is not allowed, or, when the fit starts, a layer does not exist or ``lipschitz`` is
            given for a sharded model.
        ModuleNotFoundError: If the engine's package is not installed.

    Source:
        After arXiv:2410.17628.

    Example::

        from lightning import Trainer
        from lightning_topolip import TopoLipCallback

        trainer = Trainer(callbacks=[TopoLipCallback()])
    """

    def __init__(
        self,
        layers: str | Sequence[str] = "auto",
        probe: Any = None,
        probe_size: int = 256,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        budget: str | float | None = None,
        order: float = 2.0,
        dimensions: Sequence[int] = (0, 1),
        reduction: Reduction = "flatten",
        engine: Engine = "giotto",
        view: View = "scaled",
        include_input: bool = False,
        noise_splits: int = 4,
        subset_size: int | None = 512,
        seed: int = 0,
        geometry: bool = False,
        lipschitz: int = 0,
        forward_fn: Forward | None = None,
        workers: int = 0,
        background: bool = False,
        queue_size: int = 2,
        when_full: Literal["wait", "skip"] = "wait",
        figures: bool = True,
        diagram_layers: Sequence[str] | None = None,
        on_error: Literal["warn", "raise"] = "warn",
        prefix: str = "topolip",
    ) -> None:
        self.settings = Settings(
            order=order,
            dimensions=dimensions,  # type: ignore[arg-type]
            reduction=reduction,
            engine=engine,
            view=view,
            include_input=include_input,
            noise_splits=noise_splits,
            subset_size=subset_size,
            seed=seed,
            geometry=geometry,
        )
        require_engine(engine)
        require_whole_number("probe_size", probe_size, FEWEST_SAMPLES)
        require_whole_number("every_n_epochs", every_n_epochs, 1)
        require_whole_number("workers", workers, 0)
        require_whole_number("queue_size", queue_size, 1)
        require_whole_number("lipschitz", lipschitz, FEWEST_SAMPLES, or_zero=True)
        require_one_of("on_error", on_error, ("warn", "raise"))
        require_one_of("when_full", when_full, ("wait", "skip"))
        if every_n_steps is not None:
            require_whole_number("every_n_steps", every_n_steps, 1)
            if every_n_epochs != 1:
                raise ValueError(
                    f"Argument `every_n_steps` must be given without `every_n_epochs`, got {every_n_steps} and "
                    f"{every_n_epochs}; leave one of them out."
                )
        self.layers = layers
        self.probe_size = probe_size
        self.forward_fn: Forward = forward_fn or run_model
        self.lipschitz = lipschitz
        self.workers = workers
        self.background = background
        self.queue_size = queue_size
        self.when_full = when_full
        self._source = probe
        self._share = read_share(budget)
        self._schedule = Schedule(every_n_epochs, every_n_steps)
        names = headline_names(geometry, lipschitz > 0)
        self._recorder = Recorder(prefix, figures, diagram_layers, on_error, names)
        self._ledger = Ledger()
        self._analyst: Analyst | None = None
        self._waited_for = False
        self._restored: History | None = None

    @property
    def history(self) -> History:
        """Curves and drifts of all analyses so far."""
        return self._recorder.history

    @property
    def analysis_seconds(self) -> float:
        """Seconds that training has waited for analyses in the latest fit, figures included."""
        return self._ledger.spent

    @property
    def prefix(self) -> str:
        """What the logged keys begin with."""
        return self._recorder.prefix

    @property
    def state_key(self) -> str:
        """Tell several callbacks apart in a checkpoint."""
        return f"TopoLipCallback(prefix={self.prefix!r})"

    def state_dict(self) -> dict[str, Any]:
        """Give the run so far as plain values and tensors, for a checkpoint; what is under way is waited for."""
        if self._analyst:
            self._analyst.collect(drain=True)
        return history_state(self.history)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curves of a checkpoint; a state that does not fit is said, and the curves begin anew."""
        try:
            self._restored = history_from_state(state_dict, self.settings)
        except Exception as error:
            rank_zero_warn(f"TopoLip cannot continue the curves of the checkpoint, they begin anew: {error}.")
            self._restored = History()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to the fit under way."""
        return {**vars(self), "_analyst": None}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what the trainer's strategy does not allow."""
        require_whole_model(trainer, self.lipschitz)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resolve the layers, so that a wrong name is said before anything runs, and begin anew or resume."""
        self._ledger = Ledger()
        self._analyst = self._analyst_of(trainer, pl_module, self._recorder)
        if self.background:
            self._analyst.go_to_background(self.queue_size, self.when_full)
        known = self.history if trainer.global_step else History()
        self._recorder.begin(known if self._restored is None else self._restored)
        self._restored = None
        self._schedule.begin(trainer, self.history)
        self._waited_for = is_monitored(trainer, self.prefix)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what an analysis costs, and analyse the network as it is before training."""
        assert self._analyst is not None
        self._analyst.prepare(self._share, self._schedule.epochs_apart(trainer))
        if self._schedule.due(self._schedule.now(trainer)):
            log_layout(trainer.loggers, self.prefix)
        self._analyze_when_due(trainer)
        self._ledger.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know where the epoch begins."""
        self._schedule.begin_epoch(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Analyse where a number of steps is complete; record what came back from the background."""
        if self._schedule.every_n_steps and self._schedule.due(self._schedule.now(trainer)):
            self._analyze_when_due(trainer)
        if self._analyst and (trainer.world_size == 1 or self._recorder.on_error == "warn"):
            self._analyst.collect()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse at the end of a validation, within a fit or alone."""
        if trainer.state.fn == "validate":
            self._analyze_alone(trainer, pl_module, self.prefix)
        elif trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._schedule.end_validation()
            self._at_boundary(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse at the end of an epoch that had no validation."""
        self._schedule.end_epoch()
        self._at_boundary(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse once more where training ended between two analyses, and wait for what is under way."""
        self._analyze_when(trainer, self._schedule.newer(self._schedule.now(trainer)))
        if self._analyst:
            self._analyst.collect_together(drain=True)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse on the test data."""
        self._analyze_alone(trainer, pl_module, f"{self.prefix}_test")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Record what is ready, and end the worker."""
        if self._analyst:
            with contextlib.suppress(Exception):
                self._analyst.collect()
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """End the worker, and let go of trainer and module."""
        self._restored = None
        if self._analyst and self._analyst.serves(trainer):
            self._analyst.stop()
            self._analyst = None

    def _at_boundary(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse where it is due, and give callbacks that monitor the numbers the latest ones."""
        self._analyze_when_due(trainer)
        if self._analyst:
            self._analyst.collect_together(drain=self._waited_for)
            pl_module.log_dict(self._analyst.latest(), logger=False, sync_dist=trainer.world_size > 1)

    def _analyze_when_due(self, trainer: Trainer) -> None:
        self._analyze_when(trainer, self._schedule.due(self._schedule.now(trainer)))

    def _analyze_when(self, trainer: Trainer, wanted: bool) -> None:
        """The first process decides for all: their loaders and clocks may differ."""
        affordable = self._share is None or self._ledger.allows(self._share)
        moment, wanted, affordable = trainer.strategy.broadcast((self._schedule.now(trainer), wanted, affordable))
        if wanted:
            self._schedule.mark(moment)
        if wanted and affordable and self._analyst:
            self._analyst.analyze(moment)

    def _analyze_alone(self, trainer: Trainer, pl_module: LightningModule, prefix: str) -> None:
        recorder = self._recorder.apart(prefix)
        found = self._analyst_of(trainer, pl_module, recorder).report()
        moment = Moment(0.0, trainer.global_step, trainer.current_epoch)
        pl_module.log_dict(recorder.take(moment, found), sync_dist=trainer.world_size > 1)
        recorder.draw(trainer, moment)

    def _analyst_of(self, trainer: Trainer, pl_module: LightningModule, recorder: Recorder) -> Analyst:
        analyst = Analyst(
            trainer,
            pl_module,
            layers=self.layers,
            source=self._source,
            probe_size=self.probe_size,
            settings=self.settings,
            forward_fn=self.forward_fn,
            recorder=recorder,
            ledger=self._ledger,
            workers=0 if self.background else self.workers,
            lipschitz=self.lipschitz,
        )
        require_each_of("diagram_layers", recorder.diagram_layers or (), analyst.names, hint="these are analysed")
        return analyst
