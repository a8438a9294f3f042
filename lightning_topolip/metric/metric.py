"""The smoothness of a network over a whole epoch, as a metric of torchmetrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import rank_zero_warn
from torchmetrics.utilities.plot import plot_single_or_multi_val

from lightning_topolip.metric.attachment import Attachment, Batch
from lightning_topolip.metric.reservoir import COUNTS, DTYPES, LISTS, Draw, Layers, Reservoir
from lightning_topolip.network.batches import FEWEST_SAMPLES, samples_in
from lightning_topolip.network.layers import resolve_layers
from lightning_topolip.network.measure import add_layer
from lightning_topolip.topology.diagrams import Engine
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.report import SmoothnessReport, smoothness_report
from lightning_topolip.topology.settings import Reduction, Settings, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Quantity = Literal["score", "speed_mean", "speed_max", "input_drift", "noise", "signal"]
QUANTITIES: tuple[str, ...] = get_args(Quantity)
_OF_NOISE = {"noise": "noise.level", "signal": "noise.signal"}


class TopoLipMetric(Metric):
    """Measure how smoothly a network carries a whole epoch of samples from layer to layer.

    As input to ``forward`` and ``update`` the metric takes

        - ``activations``: a mapping from a layer's name to its output for the same n samples, floating-point tensors
          of shape ``(n, ...)``, in the order of execution; the layer ``"<input>"`` is where the path starts

    or it collects by itself, see `attach`. As output of ``forward`` and ``compute`` it gives

        - ``value``: a scalar float32 tensor, the chosen quantity: in units of the layers' mean distances in the
          scaled view, in activation units in the raw view, and ``"signal"`` without unit

    The metric keeps a uniform random sample of the epoch: at most ``max_points`` samples, the same for every layer,
    each with the same probability. They depend on the seed and on the order of the epoch alone, neither on batches
    nor on processes, and are the same again after `reset`. Values of different numbers of samples are not comparable.
    The metric holds ``max_points`` times what all layers put out for one sample; ``compute_on_cpu=True`` keeps that
    off the accelerator.

    All settings but ``layers``, ``max_points`` and ``seed`` act only when a value is computed: metrics of a
    `MetricCollection` that differ in them share one sample, others never do.

    The states, and why they are these: names and shapes of layers are known at the first update only, while
    torchmetrics needs the same states in every process, after every reset, and in a process to which no sample came.
    So there is a fixed number of them:

        - ``points`` (cat): the kept samples, all layers side by side, as bytes, flat. Processes can only gather one
          dtype, layers may differ in theirs, and so every value stays bit for bit what it was
        - ``places`` (cat): where in the epoch each sample stands. Its random key follows from place and seed; the
          smallest ``max_points`` keys of a union are a uniform sample of the union, however it came about, and sorted
          places are the order of the data set, also after processes are joined
        - ``layout`` (cat): layers, dtypes, shapes, ``max_points`` and ``seed`` as a line of text in bytes: a process
          without a sample learns the layers from the others, and what does not fit is refused, not mixed
        - ``seen`` (sum), ``end`` (max): how many samples came, and which places are given away

    Args:
        layers: ``"auto"``: what the first update holds, or what `attach` finds in the model. A list of names: these,
            and ``"<input>"`` where there is one. A pattern, see `resolve_layers`, is for `attach` alone.
        quantity: ``"score"`` (TopoLip), ``"speed_mean"``, ``"speed_max"``, ``"input_drift"``, ``"noise"`` (level of
            the noise band) or ``"signal"`` (drift over noise). ``higher_is_better=False`` speaks of the score.
        max_points: Number of samples kept, at least 3.
        order: Order p of the Wasserstein distance, from 1 to ``math.inf``.
        dimensions: Homology dimensions.
        reduction: How an output becomes a point: ``"flatten"``, ``"mean"`` or ``"cls"``.
        engine: What computes persistence: ``"giotto"``, ``"ripser"`` or ``"gudhi"``.
        view: ``"scaled"`` or ``"raw"``.
        include_input: Whether the step from the input joins score and speed.
        noise_splits: Random halvings for the noise band.
        subset_size: Probes of at least twice this size are cut into random subsets of it; None for never.
        seed: Seed of the sample and of the halvings.
        **kwargs: Those of every metric, such as ``compute_on_cpu``, ``process_group``, ``sync_on_compute``.

    Raises:
        ValueError: If an argument is not one of the allowed values.

    Example:
        >>> import torch
        >>> from lightning_topolip import TopoLipMetric
        >>> generator = torch.Generator().manual_seed(0)
        >>> activations = {f"blocks.{i}": torch.randn(32, 8, generator=generator) for i in range(4)}
        >>> metric = TopoLipMetric()
        >>> metric.update(activations)
        >>> metric.compute()
        tensor(0.0810)
        >>> metric.report().layers
        ('blocks.0', 'blocks.1', 'blocks.2', 'blocks.3')
    """

    is_differentiable: bool = False
    higher_is_better: bool = False
    full_state_update: bool = False
    plot_lower_bound: float = 0.0

    if TYPE_CHECKING:  # torch.jit reads annotations and knows no list[Tensor]
        points: list[Tensor]
        places: list[Tensor]
        layout: list[Tensor]
        seen: Tensor
        end: Tensor

    def __init__(
        self,
        layers: str | Sequence[str] = "auto",
        *,
        quantity: Quantity = "score",
        max_points: int = 256,
        order: float = 2.0,
        dimensions: tuple[int, ...] = (0, 1),
        reduction: Reduction = "flatten",
        engine: Engine = "giotto",
        view: View = "scaled",
        include_input: bool = False,
        noise_splits: int = 4,
        subset_size: int | None = 512,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if quantity not in QUANTITIES:
            raise ValueError(f"Argument `quantity` must be one of {QUANTITIES}, got {quantity!r}.")
        if quantity in _OF_NOISE and noise_splits == 0:
            raise ValueError(f"Argument `noise_splits` must be at least 1 for quantity={quantity!r}, got 0.")
        if isinstance(max_points, bool) or not isinstance(max_points, int) or max_points < FEWEST_SAMPLES:
            raise ValueError(
                f"Argument `max_points` must be a whole number >= {FEWEST_SAMPLES}, got {max_points!r}; "
                "256 is a good start."
            )
        names = (layers,) if isinstance(layers, str) else tuple(layers)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"Argument `layers` must be 'auto', a pattern or a list of names, got {layers!r}.")
        self.layers = layers if isinstance(layers, str) else names
        self.quantity = quantity
        self.max_points = max_points
        self.settings = Settings(
            order=order,
            dimensions=dimensions,
            reduction=reduction,
            engine=engine,
            view=view,
            include_input=include_input,
            noise_splits=noise_splits,
            subset_size=subset_size,
            seed=seed,
        )
        for state in LISTS:
            self.add_state(state, default=[], dist_reduce_fx="cat")
        for state, joined_by in COUNTS.items():
            self.add_state(state, default=torch.tensor(0), dist_reduce_fx=joined_by)
        self._failures: dict[str, str] = {}
        self._said: set[str] = set()
        self._before_forward: tuple[int, Layers | None] = (0, None)
        self._attachment: Attachment | None = None

    def update(self, activations: Mapping[str, Tensor]) -> None:
        """Offer the outputs of some layers for the same samples to the sample that is kept.

        Args:
            activations: By layer, each of shape ``(n, ...)``. Layers, shapes of one sample and dtypes are the same in
                every update until `reset`. What is kept is copied to the metric's device.

        Raises:
            ValueError: If a layer is missing or does not fit the other layers or the updates before.
        """
        batch = activations if isinstance(activations, Batch) else self._drawn(activations)
        reservoir = self._read()
        if batch.draw is not None:
            home = torch.device("cpu") if self.compute_on_cpu else self.device
            reservoir = reservoir.added({name: rows.to(home) for name, rows in batch.items()}, batch.draw)
        self._write(reservoir)

    def compute(self) -> Tensor:
        """Compute the chosen quantity of the samples that are kept.

        Returns:
            Scalar float32 tensor on the metric's device. NaN where the quantity is not defined, and, with a warning
            that says why, where a layer could not be measured or fewer than 3 samples came.
        """
        rows = self._read().rows()
        value, n = math.nan, samples_in(rows)
        if n >= FEWEST_SAMPLES:
            wanted = self.settings if self.quantity in _OF_NOISE else replace(self.settings, noise_splits=0)
            report = self._report(rows, wanted)
            value = attrgetter(_OF_NOISE.get(self.quantity, self.quantity))(report)
            for name, reason in report.failures.items():
                self._say(f"TopoLipMetric, layer {name!r}: {reason}.")
        elif self.update_called:
            self._say(f"TopoLipMetric needs at least {FEWEST_SAMPLES} samples, got {n}; its value is NaN.")
        return torch.tensor(value, dtype=torch.float32, device=self.device)

    def report(self) -> SmoothnessReport:
        """Compute everything about the samples that are kept: curve, scores, diagrams, noise.

        In a distributed run every process must call it, since it joins the samples of all.

        Returns:
            The report. A layer that could not be measured is NaN there, with the reason in ``report.failures``.

        Raises:
            ValueError: If fewer than 3 samples came.
        """
        with self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self.sync_on_compute):
            rows = self._read().rows()
        n = samples_in(rows)
        if n < FEWEST_SAMPLES:
            raise ValueError(f"`report` needs at least {FEWEST_SAMPLES} samples, got {n}; call `update` before.")
        return self._report(rows, self.settings)

    def attach(self, model: nn.Module) -> AbstractContextManager[TopoLipMetric]:
        """Collect from now on from every forward pass of a model in evaluation mode, without another line.

        After a pass `update` gets the outputs of the layers, and the model's input as ``"<input>"`` where it is a
        floating-point tensor with one row for each sample. A module that runs several times is a layer each time:
        ``block``, ``block#2``. A layer that did not run, or whose output has not one row for each sample, is left
        out. The first pass decides which layers there are; a later pass that lacks one, or brings another shape, is
        left out. All of this is said once. Rows are copied while the layer runs, and only those that are kept.
        A pass in training mode is not looked at, and one that ends in an error counts for nothing.

        Copies of the metric and of the model, pickled ones too, are not attached. A compiled model must be attached
        when it first runs; its graph then breaks at the layers.

        Args:
            model: Any module; ``layers`` are found in it. Nothing of it changes but the hooks.

        Returns:
            A context manager that gives the metric and detaches at its end, also after an error. Without ``with``,
            call `detach`. Attaching again leaves the model before.

        Raises:
            ValueError: If ``layers`` match no module of the model.

        Example:
            >>> import torch
            >>> model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)]).eval()
            >>> metric = TopoLipMetric()
            >>> with metric.attach(model):
            ...     for batch in torch.zeros(3, 16, 8):
            ...         _ = model(batch)
            >>> metric.update_count, int(metric.seen)
            (3, 48)
        """
        names = resolve_layers(model, self.layers)
        self.detach()
        self._attachment = Attachment(self)
        self._attachment.hook(model, names)
        return self._attachment

    def detach(self) -> None:
        """Remove the hooks; what was collected stays. Where nothing is attached, nothing happens."""
        if self._attachment is not None:
            self._attachment.remove()
        self._attachment = None

    @torch.jit.unused
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Update with a batch, and give the value of that batch alone.

        Args:
            *args: Those of `update`.
            **kwargs: Those of `update`.

        Returns:
            The value, as `compute` gives it.
        """
        before = self._read()
        self._before_forward = (before.end, before.layers)
        try:
            value = super().forward(*args, **kwargs)
        finally:
            self._before_forward = (0, None)
        self._write(self._read())  # the batch was only appended
        return value

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Join the samples of another metric, as if they had come after those of this one.

        Args:
            incoming_state: A metric of this class, of any seed, or its ``metric_state``.

        Raises:
            ValueError: If it is neither, holds other layers, or has kept too few samples for a fair choice.
        """
        state = incoming_state.metric_state if isinstance(incoming_state, Metric) else incoming_state
        if not isinstance(state, dict) or not {*LISTS, *COUNTS} <= set(state):
            raise ValueError(
                "Argument `incoming_state` must be a TopoLipMetric or its `metric_state`, "
                f"got {type(incoming_state).__name__}."
            )
        self._write(self._read().merged(Reservoir.read_any(state)))
        self.update(Batch())  # what was computed before no longer holds

    def reset(self) -> None:
        """Forget all samples; the same samples in the same order are chosen again."""
        super().reset()
        self._failures = {}

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Join the samples of all processes.

        Args:
            *args: Those of every metric.
            **kwargs: Those of every metric.
        """
        for state, dtype in LISTS.items():  # so that a process without a sample gathers the dtype of the others
            tensors = getattr(self, state)
            if isinstance(tensors, list) and not tensors:
                tensors.append(torch.empty(0, dtype=dtype, device=self.device))
        super().sync(*args, **kwargs)

    def set_dtype(self, dst_type: str | torch.dtype) -> Metric:
        """Set the dtype of the metric; its states are bytes and counts and stay as they are.

        Args:
            dst_type: The dtype.

        Returns:
            The metric.
        """
        kept = self.metric_state
        super().set_dtype(dst_type)
        for state, value in kept.items():
            setattr(self, state, value)
        return self

    def plot(
        self, val: Tensor | Sequence[Tensor] | None = None, ax: Axes | None = None
    ) -> tuple[Figure | SubFigure, Axes]:
        """Plot one value or several, step by step.

        Args:
            val: What ``forward`` or ``compute`` gave, or a list of such; by default ``compute`` is called.
            ax: Axes to draw on; by default those of a new figure.

        Returns:
            Figure and axes.

        Example:
            >>> import torch
            >>> metric = TopoLipMetric()
            >>> figure, axes = metric.plot([torch.tensor(0.3), torch.tensor(0.2)])
            >>> axes.get_ylabel()
            'TopoLip score'
        """
        from matplotlib.figure import Figure

        axes = Figure().subplots() if ax is None else ax
        plot_single_or_multi_val(
            self.compute() if val is None else val,
            ax=axes,
            higher_is_better=self.higher_is_better if self.quantity == "score" else None,
            name=f"TopoLip {self.quantity}",
            lower_bound=self.plot_lower_bound,
        )
        return axes.figure, axes

    def plot_curve(self) -> Figure:
        """Draw the smoothness curve of the samples that are kept, and the noise below it.

        Returns:
            The figure.

        Raises:
            ValueError: If fewer than 3 samples came.
        """
        from lightning_topolip.display.plots import smoothness_figure
        from lightning_topolip.topology.history import History

        history = History()
        history.add(0.0, self.report())
        return smoothness_figure(history)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the hooks behind: a copy is not attached."""
        return {**super().__getstate__(), "_attachment": None}

    def _read(self) -> Reservoir:
        """Read the states; within `forward`, which empties them, with the places and layers of before."""
        found = Reservoir.read(self.metric_state, self.max_points, self.settings.seed)
        end, layers = self._before_forward
        return replace(found, end=max(found.end, end), layers=found.layers or layers)

    def _write(self, reservoir: Reservoir) -> None:
        for state, value in reservoir.states().items():
            home = reservoir.points.device if isinstance(value, list) else self.device
            setattr(self, state, [part.to(home) for part in value] if isinstance(value, list) else value.to(home))

    def draw(self, count: int) -> Draw:
        """Choose among the next samples of this process those that are kept; for `Attachment`.

        Args:
            count: How many come.

        Returns:
            The choice.
        """
        rank, world = 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            group = self.process_group
            rank, world = max(torch.distributed.get_rank(group), 0), max(torch.distributed.get_world_size(group), 1)
        return self._read().draw(count, rank, world)

    def _drawn(self, activations: Mapping[str, Tensor]) -> Batch:
        """Check what a user gave and copy the rows that are kept."""
        if not isinstance(activations, Mapping) or not activations:
            raise ValueError(
                "Argument `activations` must map names of layers to their outputs of shape (n, ...), "
                f"got {activations!r:.80}."
            )
        names = sorted(activations, key=lambda name: name != INPUT)
        if self.layers != "auto":
            wanted = (self.layers,) if isinstance(self.layers, str) else self.layers
            missing = [name for name in wanted if name not in activations]
            if missing:
                raise ValueError(
                    f"Argument `activations` must hold the layers {list(wanted)}, got {list(activations)}; give "
                    f"{missing} too, or leave them out of `layers`. Patterns are for `attach` alone."
                )
            names = [name for name in names if name in wanted or name == INPUT]
        for name in names:
            output = activations[name]
            if not isinstance(output, Tensor) or output.ndim < 1 or str(output.dtype) not in DTYPES:
                came = f"{tuple(output.shape)} in {output.dtype}" if isinstance(output, Tensor) else repr(output)
                raise ValueError(
                    f"Argument `activations` must hold tensors of shape (n, ...) in one of {', '.join(DTYPES)}, "
                    f"got {came:.80} for {name!r}; leave such a layer out."
                )
        sizes = {name: len(activations[name]) for name in names}
        if len(set(sizes.values())) > 1:
            raise ValueError(
                f"Argument `activations` must hold one row for each sample in every layer, got {sizes} rows; "
                "leave out the layers that have another number."
            )
        draw = self.draw(sizes[names[0]])
        batch = Batch(draw)
        batch.update({name: draw.rows(activations[name]) for name in names})
        return batch

    def take(self, batch: Batch, skipped: dict[str, str]) -> None:
        """Update with what a pass through the attached model gave, or say why not; for `Attachment`.

        Args:
            batch: The kept rows by layer.
            skipped: Why a layer gave none, by name.
        """
        reservoir = self._read()
        known = {name for name, _, _ in reservoir.layers or ()}
        for name in list(batch):
            if known and name not in known:
                skipped[name] = "did not run in the first pass; it is left out"
                del batch[name]
        self._failures = {**skipped, **self._failures}
        try:
            if not set(batch) - {INPUT}:
                raise ValueError(
                    f"no layer gave one row for each sample, got {skipped}; name "
                    "others in `layers`, and attach a compiled model before it first runs."
                )
            reservoir.ordered(batch)
        except ValueError as error:
            self._say(f"TopoLipMetric leaves out a pass: {error}")
        else:
            self.update(batch)

    def _report(self, rows: Mapping[str, Tensor], settings: Settings) -> SmoothnessReport:
        measured = Measurement({}, dict(self._failures))
        for name, output in rows.items():
            add_layer(measured, name, output, "flatten" if name == INPUT else settings.reduction)
        return smoothness_report(measured.distances, settings, measured.failures, samples_in(rows))

    def _say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            rank_zero_warn(message, UserWarning)
