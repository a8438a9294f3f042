"""The callback: when to ask for an analysis, and where the answer goes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from tqdm.auto import tqdm

from lightning_topolip.analysis import Forward, measure
from lightning_topolip.clouds import Reduction
from lightning_topolip.diagrams import Engine, require_engine
from lightning_topolip.history import History, scalars
from lightning_topolip.layers import resolve_layers
from lightning_topolip.loggers import finite, log_figure, log_layout, log_scalars
from lightning_topolip.probe import FEWEST_SAMPLES, run_model, samples_in, take_probe
from lightning_topolip.settings import Settings, View
from lightning_topolip.smoothness import SmoothnessReport, smoothness_report
from lightning_topolip.state import history_from_state, history_state

_HEADLINE = ("score", "speed_mean", "speed_max", "epoch_drift", "noise")
_SECONDS_BEFORE_PROGRESS = 1.0


class TopoLipCallback(Callback):
    """Watch how smoothly a network carries its data from layer to layer and from epoch to epoch.

    On a fixed probe it analyses the network once before training and then at the end of every n-th epoch: after
    validation, or after the training epoch where no validation ran. Training is bit-identical with and without it.

    **Logged keys**, through ``log_dict``, so that ``EarlyStopping(monitor="topolip/score")`` works; the analysis
    before training goes to the loggers directly. Drifts are W_p distances between persistence diagrams: in units of a
    layer's mean distance under ``view="scaled"``, of its activations under ``"raw"``.

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
    ) -> None:
        self.settings = Settings(
            order=order,
            dimensions=tuple(dimensions),
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
        self.history = History()
        self.analysis_seconds = 0.0
        self._source = probe
        self._probe: Any = None
        self._names: list[str] = []
        self._told: set[str] = set()
        self._resumed = False

    @property
    def state_key(self) -> str:
        """Tell callbacks of different layers and settings apart in a checkpoint."""
        return f"TopoLipCallback(layers={self.layers!r}, {self.settings})"

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
        self._probe = None
        if trainer.global_step == 0 and not self._resumed:
            self.history, self.analysis_seconds = History(), 0.0
        self._resumed = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the probe and analyse the network as it is before training."""
        epoch = float(trainer.current_epoch)
        if self.history.due(epoch, self.every_n_epochs):
            values = self._analyze(trainer, pl_module, epoch)
            log_layout(trainer.loggers)
            log_scalars(trainer.loggers, finite(values), trainer.global_step)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse at the end of a validation within a fit."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._analyze_when_due(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Analyse at the end of an epoch that had no validation."""
        self._analyze_when_due(trainer, pl_module)

    def _analyze_when_due(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = _epochs_trained(trainer)
        if self.history.due(epoch, self.every_n_epochs):
            pl_module.log_dict(self._analyze(trainer, pl_module, epoch))

    def _analyze(self, trainer: Trainer, pl_module: LightningModule, epoch: float) -> dict[str, float]:
        """One analysis, from the probe to the figures; a failed one is all NaN."""
        start = time.perf_counter()
        try:
            report = self._report(trainer, pl_module)
            values = scalars(report, self.history.add(epoch, report))
            for layer, reason in report.failures.items():
                self._tell_once(f"TopoLip cannot measure layer {layer!r}: {reason}")
            if self.figures and trainer.is_global_zero:
                self._draw(trainer)
        except Exception as error:
            if self.on_error == "raise":
                raise
            self._tell_once(
                f"A TopoLip analysis failed: {error!r}. Its values are NaN; training goes on. "
                "TopoLipCallback(on_error='raise') stops instead."
            )
            values = {f"topolip/{name}": math.nan for name in _HEADLINE}
        seconds = time.perf_counter() - start
        self.analysis_seconds += seconds
        return values | {"topolip/seconds": seconds}

    def _report(self, trainer: Trainer, pl_module: LightningModule) -> SmoothnessReport:
        if self._probe is None:
            self._probe = take_probe(self._probe_source(trainer), self.probe_size)
        with torch.no_grad():
            batch = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(self._probe))
            with trainer.precision_plugin.forward_context():
                measured = measure(pl_module, batch, self._names, self.settings, self.forward_fn)
        shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
        with tqdm(
            total=len(measured.distances),
            desc=f"TopoLip, {samples_in(self._probe)} samples",
            unit="layer",
            delay=_SECONDS_BEFORE_PROGRESS,
            leave=False,
            disable=not shown,
        ) as bar:
            return smoothness_report(measured.distances, self.settings, measured.failures, on_layer=bar.update)

    def _probe_source(self, trainer: Trainer) -> Any:
        for source in (self._source, trainer.val_dataloaders, trainer.train_dataloader):
            if source is not None:
                return source
        raise ValueError("Argument `probe` must be given where the trainer has no data loader; got None.")

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            rank_zero_warn(message)

    def _draw(self, trainer: Trainer) -> None:
        from lightning_topolip import plots

        assert self.history.last is not None
        step = max(trainer.global_step - 1, 0)  # where Lightning puts what is logged at the end of an epoch
        log_figure(trainer.loggers, "topolip/smoothness", plots.smoothness_figure(self.history), step)
        diagrams = plots.diagrams_figure(self.history.last, self.diagram_layers)
        log_figure(trainer.loggers, "topolip/diagrams", diagrams, step)
        if len(self.history.epochs) > 1:
            log_figure(trainer.loggers, "topolip/epoch_map", plots.epoch_map_figure(self.history), step)


def _epochs_trained(trainer: Trainer) -> float:
    progress = trainer.fit_loop.epoch_loop.batch_progress
    if progress.is_last_batch:
        return trainer.current_epoch + 1.0
    return trainer.current_epoch + progress.current.ready / max(float(trainer.num_training_batches), 1.0)


def _require_whole_number(name: str, value: Any, smallest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise ValueError(f"Argument `{name}` must be a whole number >= {smallest}, got {value!r}.")


def _require_known(name: str, layers: Sequence[str] | None, known: Sequence[str]) -> None:
    unknown = [layer for layer in layers or () if layer not in known]
    if unknown:
        raise ValueError(f"Argument `{name}` must name analysed layers of {list(known)}, got {unknown}.")
