"""The smoothness of a network over a whole epoch, as a metric of torchmetrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.plot import plot_single_or_multi_val
from typing_extensions import Unpack

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.metric.attachment import Attachment
from lightning_topolip.metric.options import (
    MetricOptions,
    Quantity,
    needs_parts,
    read_layers,
    require_quantity,
    split_options,
    value_of,
)
from lightning_topolip.metric.reservoir import COUNTS, LISTS
from lightning_topolip.metric.sample import EpochSample, KeptRows, kept_rows
from lightning_topolip.network.batches import FEWEST_SAMPLES
from lightning_topolip.network.layers import candidate_layers, require_module, resolve_layers
from lightning_topolip.network.masks import Mask
from lightning_topolip.network.samples import samples_in
from lightning_topolip.network.subject import SamplesFn, Subject
from lightning_topolip.notices import Notices
from lightning_topolip.topology.smoothness_report import SmoothnessReport, smoothness_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


class TopoLipMetric(Metric):
    """Measure how smoothly a network carries a whole epoch of samples from layer to layer.

    As input to ``forward`` and ``update`` the metric takes

        - ``activations``: a mapping from a layer's name to its output for the same n samples, floating-point tensors
          of shape ``(n, ...)``, in the order of execution; the layer ``"<input>"`` is the start of the path

    or it collects by itself, see `attach`. As output of ``forward`` and ``compute`` it returns

        - ``value``: a scalar float32 tensor, the chosen quantity: in units of the layers' mean distances in the
          scaled view, in activation units in the raw view, and ``"signal"`` without unit

    The metric keeps a uniform random sample of the epoch: at most ``max_points`` samples, the same for every layer,
    each with the same probability. They depend on the seed and on the order of the epoch alone, neither on batches
    nor on processes, and are the same again after `reset`. Values of different numbers of samples are not comparable.
    The metric holds ``max_points`` times the outputs of all layers for one sample; ``compute_on_cpu=True`` keeps that
    off the accelerator.

    All options but ``layers``, ``max_points`` and ``seed`` act only when a value is computed: metrics of a
    `MetricCollection` that differ in them share one sample, others never do.

    Args:
        layers: ``"auto"``: the layers of the first update, or those that `attach` finds in the model. A list of names:
            these, and ``"<input>"`` if there is one. A pattern, see `resolve_layers`, is for `attach` alone.
        quantity: ``"score"`` (TopoLip), ``"speed_mean"``, ``"speed_max"`` or ``"input_drift"``; with ``"_error"`` the
            standard error of one of them; ``"noise"``, the TopoLip of an even network, or ``"signal"``, score over
            noise. ``higher_is_better=False`` refers to the score.
        max_points: Number of samples kept, at least 3.
        **options: The settings of the analysis, such as ``order=1``, ``view="raw"`` or ``seed=1``, described in
            `SettingsOptions`; ``seed`` is that of the sample, too. And the options of every metric, such as
            ``compute_on_cpu``, ``process_group`` and ``sync_on_compute``.

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
        tensor(0.0143)
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
        **options: Unpack[MetricOptions],
    ) -> None:
        settings, metric_options = split_options(options)
        super().__init__(**metric_options)
        require_quantity(quantity, settings)
        require_whole_number("max_points", max_points, FEWEST_SAMPLES)
        self.settings = settings
        self.layers = read_layers(layers)
        self.quantity = quantity
        self.max_points = max_points
        self._sample = EpochSample(self, max_points, settings.seed)
        self._notices = Notices()
        self._attachment: Attachment | None = None

    def update(self, activations: Mapping[str, Tensor] | KeptRows) -> None:
        """Offer the outputs of some layers for the same samples to the sample that is kept.

        Args:
            activations: By layer, each of shape ``(n, ...)``. Layers, shapes of one sample and dtypes are the same in
                every update until `reset`. The kept rows are copied to the metric's device.

        Raises:
            ValueError: If a layer is missing or does not fit the other layers or the updates before.
        """
        if not isinstance(activations, KeptRows):
            activations = kept_rows(activations, self.layers, self._sample)
        self._sample.add(activations)

    def compute(self) -> Tensor:
        """Compute the chosen quantity of the kept samples.

        Returns:
            Scalar float32 tensor on the metric's device. NaN if the quantity is not defined, and, with a warning that
            says why, if a layer could not be measured or there are fewer than 3 samples.
        """
        rows, value = self._sample.rows(), math.nan
        n = samples_in(rows)
        if n >= FEWEST_SAMPLES:
            settings = self.settings if needs_parts(self.quantity) else replace(self.settings, halvings=0)
            report = smoothness_report(self._sample.measurement(rows, settings.reduction), settings)
            value = value_of(self.quantity, report)
            self._notices.warn_by_reason(report.failures, "TopoLipMetric cannot measure")
        elif self.update_called:
            self._notices.warn(f"TopoLipMetric needs at least {FEWEST_SAMPLES} samples, got {n}; its value is NaN.")
        elif self._attachment is not None:
            self._attachment.explain_emptiness()
        return torch.tensor(value, dtype=torch.float32, device=self.device)

    def report(self) -> SmoothnessReport:
        """Compute the whole report of the kept samples: curve, scores, errors, diagrams.

        In a distributed run every process must call it, since it joins the samples of all.

        Returns:
            The report. A layer that could not be measured is NaN there, with the reason in ``report.failures``.

        Raises:
            ValueError: If there are fewer than 3 samples.
        """
        with self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self.sync_on_compute):
            rows = self._sample.rows()
        n = samples_in(rows)
        if n < FEWEST_SAMPLES:
            raise ValueError(f"`report` needs at least {FEWEST_SAMPLES} samples, got {n}; call `update` first.")
        return smoothness_report(self._sample.measurement(rows, self.settings.reduction), self.settings)

    def attach(
        self, model: nn.Module, samples_fn: SamplesFn = samples_in, mask: Mask = "auto"
    ) -> AbstractContextManager[TopoLipMetric]:
        """Collect the layers' outputs of every forward pass of a model in evaluation mode from now on.

        After a pass `update` gets the outputs of the layers, and the model's input as ``"<input>"`` if it is a
        floating-point tensor with one row per sample. A module that runs several times is a layer each time: ``block``,
        ``block#2``. A layer that did not run, or whose output does not have one row per sample, is skipped. The first
        pass decides which layers there are; a later pass that lacks one, or brings another shape, is skipped. Each
        reason is warned of once. Rows are copied while the layer runs, and only those that are kept. Passes in training
        mode are ignored, and so are those that end in an error. The hooks never raise.

        Copies of the metric and of the model, pickled ones too, are not attached. A compiled model must be attached
        before it first runs; its graph then breaks at the layers.

        Args:
            model: Any module with the ``layers``. Only its hooks change.
            samples_fn: Counts the samples of a call from its positional and named arguments.
            mask: Which positions of sequences are real tokens, see `TopoLipCallback`; a function gets these arguments.

        Returns:
            A context manager that returns the metric and detaches at its end, also after an error. Without ``with``,
            call `detach`. Attaching again detaches from the model before.

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
        require_module(model)
        resolve_layers(model, self.layers)
        self.detach()
        subject = Subject(self.layers, settings=self.settings, samples_fn=samples_fn, mask=mask)
        self._attachment = Attachment(self, self._sample, self._notices.warn, subject)
        self._attachment.hook(model, candidate_layers(model, self.layers), stand_ins=self.layers == "auto")
        return self._attachment

    def detach(self) -> None:
        """Remove the hooks; the samples collected so far stay. Without an attached model nothing happens."""
        if self._attachment is not None:
            self._attachment.remove()
        self._attachment = None

    @torch.jit.unused
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Update with a batch, see `update`, and return the value of that batch alone."""
        with self._sample.continued():
            return super().forward(*args, **kwargs)

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
        self._sample.merge(state)
        self.update(KeptRows())  # the values computed before no longer hold

    def reset(self) -> None:
        """Forget all samples; the same samples in the same order are chosen again."""
        super().reset()
        self._sample.failures = {}

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Join the samples of all processes; the arguments are those of every metric."""
        self._sample.fill_empty_lists()
        super().sync(*args, **kwargs)

    def set_dtype(self, dst_type: str | torch.dtype) -> Metric:
        """Set the dtype of the metric; its states are bytes and counts and stay as they are."""
        states = self.metric_state
        super().set_dtype(dst_type)
        for state, value in states.items():
            setattr(self, state, value)
        return self

    def plot(
        self, val: Tensor | Sequence[Tensor] | None = None, ax: Axes | None = None
    ) -> tuple[Figure | SubFigure, Axes]:
        """Plot one value of ``forward`` or ``compute`` or a list of them, by default a new one of ``compute``.

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
        """Draw the smoothness curve of the kept samples with its errors, see `report`."""
        return self.report().plot()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the hooks behind: a copy is not attached."""
        return {**super().__getstate__(), "_attachment": None}
