"""The callback: when to ask for an analysis, and where the answer goes."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from tqdm.auto import tqdm

from lightning_topolip.analysis import Forward, measure
from lightning_topolip.clouds import Reduction
from lightning_topolip.diagrams import Engine, require_engine
from lightning_topolip.figures import log_figures
from lightning_topolip.history import History, scalars
from lightning_topolip.layers import resolve_layers
from lightning_topolip.loggers import finite, log_layout, log_scalars
from lightning_topolip.probe import FEWEST_SAMPLES, move_batch, run_model, samples_in
from lightning_topolip.settings import Settings, View
from lightning_topolip.smoothness import SmoothnessReport, smoothness_report
from lightning_topolip.state import history_from_state, history_state
from lightning_topolip.trainer_probe import take_trainer_probe

_log = logging.getLogger(__name__)
_HEADLINE = ("score", "speed_mean", "speed_max", "epoch_drift", "noise", "signal", "input_drift")
_SECONDS_BEFORE_PROGRESS = 1.0


class TopoLipCallback(Callback):
    """Watch how smoothly a network carries its data from layer to layer and from epoch to epoch.

    On a fixed probe it analyses the network once before training and then at the end of every n-th epoch: after
    validation, or after the training epoch where no validation ran; of an endless stream after every n-th validation;
    and once more where training ends in between. Training is bit-identical with and without it, as far as loader, data
    set and model keep their random state where `take_probe` and `observe` put it back.

    **Logged keys**, written to every logger, and given to ``log_dict`` at every validation so that
    ``EarlyStopping(monitor="topolip/score")`` works. Drifts are W_p distances between persistence diagrams: in units of
    a layer's mean distance under ``view="scaled"``, of its activations under ``"raw"``.

    - ``topolip/score``: TopoLip, mean absolute change of the drift from step to step; lower is smoother
    - ``topolip/speed_mean``, ``topolip/speed_max``: mean and largest drift from layer to layer; how far features travel
    - ``topolip/input_drift``: drift from the input to the first layer, where the input is real-valued
    - ``topolip/epoch_drift``: drift an epoch since the last analysis, mean over layers; NaN for the first
    - ``topolip/noise``: drift between random halves of the probe, median; sampling alone explains what is below
    - ``topolip/signal``: drift from layer to layer over that noise, both at half the probe; 1 or less is noise
    - ``topolip/seconds``: what the analysis took
    - ``topolip_depth/<layer>``: drift from the layer before to this layer
    - ``topolip_epoch/<layer>``: epoch drift of this layer

    Figures, where the logger shows them: ``topolip/smoothness``, ``topolip/epoch_map``, ``topolip/diagrams``.

    Args:
        layers: ``"auto"`` finds the repeated blocks; a pattern such as ``"network.blocks.*"``; or a list of names.
        probe: A `DataLoader` or a batch to take the probe from. By default the validation data, else the training data.
        probe_size: Number of samples n. Time grows faster than n^2; drifts of different n are not comparable.
        every_n_epochs: Analyse when another n epochs are complete.
        order: Order p of the Wasserstein distance, from 1 to ``math.inf``.
        dimensions: Homology dimensions.
        reduction: ``"flatten"``, ``"mean"`` over positions, or ``"cls"``, token 0.
        engine: ``"giotto"``, ``"ripser"`` or ``"gudhi"``.
        view: ``"scaled"`` or ``"raw"``: which of the two views the keys carry.
        include_input: Whether the step from the input joins score and speed.
        noise_splits: Random halvings of the probe for the noise band; 0 leaves it out.
        seed: Seed of the halvings and of what the model draws during an analysis.
        forward_fn: Called as ``forward_fn(pl_module, batch)`` where ``forward`` with the batch's inputs is not what
            is to be analysed.
        figures: Whether to draw figures.
        diagram_layers: Layers whose diagrams are drawn; first, middle and last by default.
        on_error: ``"warn"``: an analysis that fails is NaN with a warning and training goes on. ``"raise"``.
        prefix: What the logged keys begin with; different for each of several callbacks in one trainer.

    Attributes:
        history: Curves and drifts of all analyses so far.
        analysis_seconds: Seconds spent in all analyses, figures included.

    Raises:
        ValueError: If an argument is not allowed, or, when the fit starts, a layer does not exist.
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
        order: float = 2.0,
        dimensions: Sequence[int] = (0, 1),
        reduction: Reduction = "flatten",
        engine: Engine = "giotto",
        view: View = "scaled",
        include_input: bool = False,
        noise_splits: int = 4,
        seed: int = 0,
        forward_fn: Forward | None = None,
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
            seed=seed,
        )
        require_engine(engine)
        _require_whole_number("probe_size", probe_size, FEWEST_SAMPLES)
        _require_whole_number("every_n_epochs", every_n_epochs, 1)
        if on_error not in ("warn", "raise"):
            raise ValueError(f"Argument `on_error` must be 'warn' or 'raise', got {on_error!r}.")
        self.layers = layers
        self.probe_size = probe_size
        self.every_n_epochs = every_n_epochs
        self.forward_fn: Forward = forward_fn or run_model
        self.figures = figures
        self.diagram_layers = diagram_layers
        self.on_error = on_error
        self.prefix = prefix
        self.history = History()
        self.analysis_seconds = 0.0
        self._source = probe
        self._probe: Any = None
        self._names: list[str] = []
        self._told: set[str] = set()
        self._latest: dict[str, float] = {}
        self._validations = 0
        self._asked = -1.0
        self._resumed = False

    @property
    def state_key(self) -> str:
        """Tell callbacks of different layers and settings apart in a checkpoint."""
        return f"TopoLipCallback(prefix={self.prefix!r}, layers={self.layers!r}, {self.settings})"

    def state_dict(self) -> dict[str, Any]:
        """Give the run so far as plain values and tensors, for a checkpoint."""
        return history_state(self.history)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curves of a checkpoint; a state that does not fit is said, and the curves begin anew."""
        try:
            self.history = history_from_state(state_dict, self.settings)
        except (ValueError, KeyError, TypeError) as error:
            rank_zero_warn(f"TopoLip cannot continue the curves of the checkpoint, they begin anew: {error}.")
            self.history = History()
        self._resumed = True

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resolve the layers, so that a wrong name is said before anything runs, and begin anew or resume."""
        self._names = resolve_layers(pl_module, self.layers)
        _require_known("diagram_layers", self.diagram_layers, self._names)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
        others = [c for c in callbacks if isinstance(c, TopoLipCallback) and c is not self]
        if any(other.prefix == self.prefix for other in others):
            raise ValueError(
                f"Argument `prefix` must differ between the TopoLipCallbacks of a trainer, got {self.prefix!r} twice; "
                "give one of them another, such as prefix='topolip_raw'."
            )
        self._probe = None
        if trainer.global_step == 0 and not self._resumed:
            self.history, self.analysis_seconds, self._validations = History(), 0.0, 0
        self._asked = -1.0
        self._resumed = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse the network as it is before training."""
        epoch = float(trainer.current_epoch)
        if self.history.due(epoch, self.every_n_epochs):
            log_layout(trainer.loggers, self.prefix)
            self._analyze_outside_of_loops(trainer, pl_module, epoch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse at the end of a validation within a fit."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validations += 1
            self._analyze_when_due(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse at the end of an epoch that had no validation."""
        self._analyze_when_due(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse once more where training ended between two analyses."""
        epoch = self._epochs_trained(trainer)
        if epoch > max([self._asked, *self.history.epochs]):
            self._analyze_outside_of_loops(trainer, pl_module, epoch)

    def _analyze_outside_of_loops(self, trainer: Trainer, pl_module: LightningModule, epoch: float) -> None:
        values = self._analyze(trainer, pl_module, epoch)
        log_scalars(trainer.loggers, finite(values), _step(trainer))

    def _analyze_when_due(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log a new analysis; give callbacks that monitor it at every validation the latest values in between."""
        epoch = self._epochs_trained(trainer)
        if epoch > self._asked and self.history.due(epoch, self.every_n_epochs):
            values = self._analyze(trainer, pl_module, epoch)
            log_scalars(trainer.loggers, {**values, "epoch": trainer.current_epoch}, _step(trainer))
        pl_module.log_dict(self._latest, logger=False)

    def _analyze(self, trainer: Trainer, pl_module: LightningModule, epoch: float) -> dict[str, float]:
        """One analysis, from the probe to the figures; a failed one is all NaN."""
        start = time.perf_counter()
        self._asked = epoch
        try:
            report = self._report(trainer, pl_module)
            self._continue_history(report)
            values = scalars(report, self.history.add(epoch, report), self.prefix)
        except Exception as error:
            if self.on_error == "raise":
                raise
            _log.debug("The analysis failed.", exc_info=True)
            self._tell_once(
                f"A TopoLip analysis failed: {error!r}. Its values are NaN; training goes on. Where the model's "
                "forward does not take the batch's inputs, give TopoLipCallback(forward_fn=lambda module, batch: ...); "
                "on_error='raise' stops instead."
            )
            names = self._latest or [f"{self.prefix}/{name}" for name in _HEADLINE]
            values = dict.fromkeys(names, math.nan)
        else:
            for layer, reason in report.failures.items():
                self._tell_once(f"TopoLip cannot measure layer {layer!r}: {reason}")
            if self.figures and trainer.is_global_zero:
                arguments = (_step(trainer), self.prefix, self.diagram_layers, self._tell_once)
                log_figures(trainer.loggers, self.history, *arguments)
        seconds = time.perf_counter() - start
        self.analysis_seconds += seconds
        self._latest = values | {f"{self.prefix}/seconds": seconds}
        return self._latest

    def _report(self, trainer: Trainer, pl_module: LightningModule) -> SmoothnessReport:
        if self._probe is None:
            source, size = self._source, self.probe_size
            self._probe = take_trainer_probe(trainer, pl_module, source, size, self.settings.seed)
        probe = move_batch(self._probe, pl_module.device)
        shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
        with tqdm(
            desc=f"TopoLip, {samples_in(probe)} samples",
            delay=_SECONDS_BEFORE_PROGRESS,
            leave=False,
            disable=not shown,
        ) as bar:
            with trainer.precision_plugin.forward_context():
                measured = measure(pl_module, probe, self._names, self.settings, self.forward_fn)
            bar.total = len(measured.distances) * (1 + 2 * self.settings.noise_splits)
            return smoothness_report(
                measured.distances, self.settings, measured.failures, samples_in(probe), bar.update
            )

    def _continue_history(self, report: SmoothnessReport) -> None:
        if not self.history.continued_by(report):
            self._tell_once(
                f"TopoLip cannot continue the curves: the probe now has {report.points} samples, and drifts of "
                "different probe sizes are not comparable. The curves begin anew."
            )
            self.history = History()

    def _epochs_trained(self, trainer: Trainer) -> float:
        """Epochs and parts of one; of an endless stream the validations."""
        if math.isinf(trainer.num_training_batches):
            return float(self._validations)
        begun, batches = trainer.fit_loop.epoch_progress.current.ready, trainer.fit_loop.epoch_loop.batch_progress
        if batches.is_last_batch:
            return float(begun)
        return begun - 1 + batches.current.ready / max(trainer.num_training_batches, 1)

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            rank_zero_warn(message)


def _step(trainer: Trainer) -> int:
    """Where Lightning puts what is logged at the end of an epoch."""
    return max(trainer.global_step - 1, 0)


def _require_whole_number(name: str, value: Any, smallest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise ValueError(f"Argument `{name}` must be a whole number >= {smallest}, got {value!r}.")


def _require_known(name: str, layers: Sequence[str] | None, known: Sequence[str]) -> None:
    unknown = [layer for layer in layers or () if layer not in known]
    if unknown:
        raise ValueError(f"Argument `{name}` must name analysed layers of {list(known)}, got {unknown}.")
