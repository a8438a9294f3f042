"""The regulariser: a callback that makes a network smoother, or rougher, while it trains."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_topolip.arguments import require_one_of, require_positive, require_whole_number
from lightning_topolip.loss.functional import FEWEST_CLOUDS, QUANTITIES, Quantity
from lightning_topolip.network.batches import FEWEST_SAMPLES
from lightning_topolip.network.layers import require_layers
from lightning_topolip.network.samples import samples_in
from lightning_topolip.network.subject import SamplesFn
from lightning_topolip.notices import Notices
from lightning_topolip.topology.engines import Engine, require_engine
from lightning_topolip.topology.settings import Reduction, Settings, View
from lightning_topolip.trainer.collapse import CollapseGuard
from lightning_topolip.trainer.fingerprint import SHARDED
from lightning_topolip.trainer.gradient_ratio import GradientRatio
from lightning_topolip.trainer.penalty import Penalty
from lightning_topolip.trainer.training_outputs import LayerOutput, TrainingOutputs

Weight = float | Callable[[int], float]


class TopoLipRegularizer(Callback):
    """Train a network to be smoother, or rougher, from layer to layer: ``loss + weight * penalty`` by a callback.

    The penalty is `topolip_loss` of the layers' outputs for the first samples of each training batch. It is computed on
    copies, before the backward pass of the loss, which then carries its gradient along: each output's gradient gets
    that of the penalty added. So nothing changes in the module, there is one backward pass, and the gradients are those
    of ``loss + weight * penalty``, also with accumulated gradients, in mixed precision, under DDP and with manual
    optimisation. Every backward pass takes the outputs of the latest forward before it, once. Layers whose outputs have
    no gradient count as constants.

    **The weight** that acts is ``weight``, lowered by two limits. At the outputs, the norm of the penalty's gradient is
    at most ``max_ratio`` times that of the loss's. The latter is taken at the first penalised steps, and then at
    intervals that double up to 64 of them; in these steps the weight that acts is 0. And where the network collapses,
    the weight is halved at every such step, with a warning, see `CollapseGuard`. Each process limits its own weight.
    At the start of training the penalty's gradient is often many times that of the loss: begin later (``start``) or
    with a schedule.

    **Logged keys**, at the penalised steps, of the first process:

    - ``topolip_loss/penalty``: the quantity on the batch, without the weight
    - ``topolip_loss/weight``: the weight that acts
    - ``topolip_loss/ratio``: norm of the weighted penalty's gradient at the outputs over that of the loss's, as last
      taken; NaN without ``max_ratio``
    - ``topolip_loss/share``: share of the step's time, 0 to 1, for which the penalty was computed

    Args:
        weight: Factor of the penalty; below 0 for a rougher network. Or a function of the number of optimizer steps so
            far, for a schedule.
        layers: As for `TopoLipCallback`.
        quantity: ``"score"``, ``"speed_mean"`` or ``"speed_max"``, see `topolip_loss`. ``"gain"`` needs a second
            forward: use `TopoLipLoss` in ``training_step``.
        target: Steer the quantity to this value: the penalty is its distance from it. ``weight`` must be positive then.
        points: Number of samples of a batch, and of each process, the first ones.
        every_n_steps: Penalise every n-th step, as ``trainer.global_step`` counts them: over all optimizers.
        start: Epochs without a penalty.
        max_ratio: Largest norm of the penalty's gradient over that of the loss's; None for no limit, so that every step
            has the whole weight.
        view: ``"scaled"`` or ``"raw"``.
        order: Order p of the Wasserstein distance.
        dimensions: Homology dimensions.
        reduction: How an output becomes one point per sample: ``"flatten"``, ``"mean"`` or ``"cls"``.
        engine: The engine for persistence.
        samples_fn: Counts the samples of a batch, where they are not what `samples_in` counts.
        prefix: Prefix of the logged keys, different for each of several regularisers in one trainer.

    Raises:
        ValueError: If an argument is not allowed; when the fit starts, if a layer does not exist or the strategy shards
            the model.
        ModuleNotFoundError: If the engine's package is not installed.

    Source:
        The gradient: arXiv:2010.08356. The score: after arXiv:2410.17628.

    Example::

        trainer = Trainer(callbacks=[TopoLipRegularizer(weight=0.1), TopoLipCallback()])
    """

    def __init__(
        self,
        weight: Weight = 0.1,
        layers: str | Sequence[str] = "auto",
        *,
        quantity: Quantity = "score",
        target: float | None = None,
        points: int = 64,
        every_n_steps: int = 1,
        start: int = 0,
        max_ratio: float | None = 1.0,
        view: View = "scaled",
        order: float = 2.0,
        dimensions: Sequence[int] = (0, 1),
        reduction: Reduction = "flatten",
        engine: Engine = "auto",
        samples_fn: SamplesFn = samples_in,
        prefix: str = "topolip_loss",
    ) -> None:
        self._settings = Settings.from_options(
            {"view": view, "order": order, "dimensions": dimensions, "reduction": reduction, "engine": engine}
        )
        require_engine(engine)
        hint = "'gain' needs a second forward, so use TopoLipLoss in training_step" if quantity == "gain" else ""
        require_one_of("quantity", quantity, [name for name in QUANTITIES if name != "gain"], hint=hint)
        require_whole_number("points", points, FEWEST_SAMPLES)
        require_whole_number("every_n_steps", every_n_steps, 1)
        require_whole_number("start", start, 0)
        if max_ratio is not None:
            require_positive("max_ratio", max_ratio, hint="None is for no limit")
        if not callable(weight):
            _check_weight(weight, target)
        self.weight = weight
        require_layers(layers)
        self.layers = layers
        self.quantity: Quantity = quantity
        self.target = target
        self.points = points
        self.every_n_steps = every_n_steps
        self.start = start
        self.max_ratio = max_ratio
        self.prefix = prefix
        self._samples_fn = samples_fn
        self._notices = Notices()
        self._guard = CollapseGuard(self._notices)
        self._ratio = GradientRatio()
        self._restored: dict[str, Any] | None = None
        self._outputs: TrainingOutputs | None = None
        self._problem = ""
        self._is_due = False
        self._began = self._seconds = 0.0
        self._penalised: dict[str, LayerOutput] = {}
        self._numbers: dict[str, float] = {}

    @property
    def state_key(self) -> str:
        """Key that tells several regularisers apart in a checkpoint."""
        return f"TopoLipRegularizer(prefix={self.prefix!r})"

    def state_dict(self) -> dict[str, Any]:
        """Return what limits the weight, for a checkpoint."""
        return {"guard": self._guard.state_dict(), "ratio": self._ratio.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the limits of a checkpoint, if a fit does."""
        self._restored = state_dict

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to the run under way."""
        return {**vars(self), "_outputs": None, "_penalised": {}, "_restored": None}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse strategies under which no process holds a whole module."""
        if stage == "fit" and isinstance(trainer.strategy, SHARDED):
            raise ValueError(
                "Argument `strategy` must not shard the module beside TopoLipRegularizer, got "
                f"{type(trainer.strategy).__name__}; use TopoLipLoss in training_step."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hook the layers, before any compiled module has run."""
        self._notices.clear()
        self._outputs = TrainingOutputs(pl_module, self.layers)
        if self._restored and trainer.ckpt_path:
            self._guard.load_state_dict(self._restored["guard"])
            self._ratio.load_state_dict(self._restored["ratio"])
        elif not trainer.global_step:
            self._guard, self._ratio = CollapseGuard(self._notices), GradientRatio()
        self._restored = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Follow the forward pass if the step is to be penalised."""
        samples = self._samples_fn(batch)
        at_step = trainer.current_epoch >= self.start and trainer.global_step % self.every_n_steps == 0
        self._is_due = at_step and samples not in range(1, FEWEST_SAMPLES)
        self._began, self._seconds = time.perf_counter(), 0.0
        self._problem, self._penalised = "", {}
        self._numbers = dict.fromkeys(("penalty", "weight", "ratio"), math.nan)
        if self._outputs and self._is_due:
            self._outputs.open(samples, self.points)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Have the penalty's gradient added in the backward pass that follows."""
        if trainer.global_step == 0:
            self._guard.begin(_unscaled(loss, trainer, pl_module))
        if self._outputs is None or not self._is_due:
            return
        began = time.perf_counter()
        outputs = self._outputs.begin_backward()
        if not any(output.reached for output in outputs.values()):
            self._penalised = outputs if self._penalise(trainer, pl_module, loss, outputs) else {}
        self._seconds += time.perf_counter() - began

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add nothing in later backward passes of the same outputs."""
        if self._outputs:
            self._outputs.end_backward()
        acted = [output for output in self._penalised.values() if output.is_active]
        if not any(output.reached for output in acted):
            return
        if any(output.is_compared for output in acted):
            self._ratio.see(acted, _factor(trainer, pl_module))
        self._ratio.count()
        for output in acted:
            output.addition, output.is_compared = None, False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log the penalty, and warn of layers that no backward pass has reached."""
        if self._outputs is None or not self._is_due:
            return
        if self._penalised:
            self._warn_of_unreached()
        elif self._problem:
            self._notices.warn(f"TopoLipRegularizer skips a step: {self._problem}", key="skipped")
        self._is_due = False
        self._outputs.close()
        share = self._seconds / (time.perf_counter() - self._began)
        pl_module.log_dict(
            {f"{self.prefix}/{name}": value for name, value in {**self._numbers, "share": share}.items()},
            on_step=True,
            on_epoch=False,
            batch_size=1,
        )
        self._penalised = {}

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove the hooks."""
        if self._outputs and stage == "fit":
            self._outputs.remove()
            self._outputs, self._penalised = None, {}

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove the hooks."""
        self.teardown(trainer, pl_module, "fit")

    def _penalise(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor, outputs: dict[str, LayerOutput]
    ) -> bool:
        """Whether the outputs make a penalty, whose gradient is then added, or compared, in the next backward pass."""
        if len(outputs) < FEWEST_CLOUDS[self.quantity]:
            self._problem = self._too_few(outputs)
            return False
        try:
            penalty = Penalty(outputs, self.quantity, self.target, self._settings)
        except (ValueError, RuntimeError) as error:
            self._problem = str(error)
            return False
        moment = f"epoch {trainer.current_epoch}, step {trainer.global_step}"
        self._guard.see_spreads(penalty.spreads, moment)
        weight, unit = self._weight_at(trainer.global_step) * self._guard.factor, math.nan
        if self.max_ratio is not None:
            unit = self._ratio.of(penalty.norm())
            weight = 0.0 if self._ratio.is_due else _limited(weight, unit, self.max_ratio)
        self._numbers = {"penalty": penalty.value, "weight": weight, "ratio": abs(weight) * unit}
        if self.max_ratio is not None and self._ratio.is_due:
            penalty.compare()
            return True
        self._guard.see_loss(_unscaled(loss, trainer, pl_module), self._numbers["ratio"], moment)
        penalty.add(weight * _factor(trainer, pl_module))
        return True

    def _weight_at(self, step: int) -> float:
        if not callable(self.weight):
            return self.weight
        weight = self.weight(step)
        _check_weight(weight, self.target)
        return weight

    def _too_few(self, outputs: dict[str, LayerOutput]) -> str:
        if not self._outputs or not self._outputs.samples:
            return "nothing in the batch has rows. Give `samples_fn`, which counts the samples of a batch."
        reasons = "; ".join(f"{name}: {why}" for name, why in self._outputs.failures.items())
        return (
            f"{self.quantity!r} needs {FEWEST_CLOUDS[self.quantity]} layers or more with one row per sample in the "
            f"training forward, got {', '.join(outputs) or 'none'}{f' ({reasons})' if reasons else ''}. Give `layers`; "
            "a module compiled before the fit shows none."
        )

    def _warn_of_unreached(self) -> None:
        ambiguous = self._outputs.ambiguous if self._outputs else set()
        unreached = [name for name, output in self._penalised.items() if output.in_graph and not output.reached]
        if ambiguous:
            reason = "they run several times under reentrant checkpointing; take use_reentrant=False"
        else:
            reason = "the backward pass of the loss does not reach them, or they are views that change in place later"
        if ambiguous or unreached or not any(output.reached for output in self._penalised.values()):
            names = ", ".join(map(repr, [*sorted(ambiguous), *unreached])) or "outputs without a gradient"
            self._notices.warn(f"TopoLipRegularizer cannot act on {names}: {reason}.", key="unreached")


def _factor(trainer: Trainer, pl_module: LightningModule) -> float:
    """By which Lightning has scaled the loss: a loss scale of mixed precision, and the mean of accumulated batches."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    scale = float(scaler.get_scale()) if scaler is not None else 1.0
    return scale / trainer.accumulate_grad_batches if pl_module.automatic_optimization else scale


def _unscaled(loss: Tensor, trainer: Trainer, pl_module: LightningModule) -> float:
    """The loss as the training step returned it; NaN if it is no scalar."""
    return float(loss.detach()) / _factor(trainer, pl_module) if loss.numel() == 1 else math.nan


def _limited(weight: float, unit: float, max_ratio: float) -> float:
    """The weight under a limit, from the ratio of a weight of 1; 0 while that is not known."""
    if math.isnan(unit):
        return 0.0
    return math.copysign(min(abs(weight), max_ratio / unit), weight) if unit > 0 else weight


def _check_weight(weight: Any, target: float | None) -> None:
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
        raise ValueError(
            f"Argument `weight` must be a finite number, or a function of the step that returns one, got {weight!r}."
        )
    if target is not None and weight <= 0:
        raise ValueError(
            f"Argument `weight` must be positive to steer to a target, got {weight!r}; the target alone says whether "
            "the network is to be smoother or rougher."
        )
