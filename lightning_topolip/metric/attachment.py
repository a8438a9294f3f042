"""Hooks that collect the layers' outputs of every evaluation pass of a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle
from torchmetrics import Metric

from lightning_topolip.metric.reservoir import DTYPES
from lightning_topolip.metric.sample import EpochSample, KeptRows
from lightning_topolip.metric.sampling import Draw
from lightning_topolip.network.batches import by_parameter
from lightning_topolip.network.blocks import FEWEST_LAYERS
from lightning_topolip.network.eagerly import eagerly
from lightning_topolip.network.forward_pass import ForwardPass, HookedLayers
from lightning_topolip.network.fused_layers import asks_for_hooks, unhookable
from lightning_topolip.network.positions import Positions
from lightning_topolip.network.sample_axis import Representation, first_numbers, input_rows
from lightning_topolip.network.subject import Read, Subject
from lightning_topolip.topology.names import INPUT

_log = logging.getLogger(__name__)


class _Collection:
    """The rows of one set of layers that are kept of one pass."""

    def __init__(self, layers: HookedLayers, draw: Draw, inputs: Tensor | None, read: Read) -> None:
        self._draw = draw
        self._read = read
        self._rows: dict[str, Tensor] = {}
        if inputs is not None and str(inputs.dtype) in DTYPES:
            self._rows[INPUT] = draw.rows(inputs)
        self._pass = ForwardPass(layers, draw.count, self._copy)
        self.output = self._pass.output

    def __len__(self) -> int:
        return len(self._rows.keys() - {INPUT})

    def result(self) -> tuple[KeptRows, dict[str, str]]:
        """The rows, and the reasons why layers were skipped, once the pass is over."""
        return KeptRows(self._draw, self._rows), self._pass.failures()

    def _copy(self, name: str, module: nn.Module, representation: Representation) -> None:
        """Copy the rows at once: a later layer may write into the same memory."""
        rows = representation.rows
        if str(rows.dtype) not in DTYPES:
            raise ValueError(f"its output is {rows.dtype}, not one of {', '.join(DTYPES)}; it is skipped")
        self._rows[name] = self._draw.rows(self._read(module, representation))


class Attachment(AbstractContextManager[Any]):
    """The hooks on one model; they never raise into its forward and never change its outputs.

    Some modules compute in another way where a hook is on them, see `asks_for_hooks`. They and their parts are observed
    by a hook on no module, which is there during the pass alone. If the model itself is such a module, its own hooks
    are on no module either. What is compiled together with such modules is not observed. A model that is attached while
    it is a part of such a module makes that see hooks.

    A copy of an attachment, in a copy of the model, belongs to no metric and does nothing.

    Args:
        metric: Updated with the rows; as a context manager the attachment returns it.
        sample: The metric's sample, which chooses the rows.
        warn: Called with the reason why a pass is skipped.
        subject: How the samples of a call are counted and its padding is found, and the settings.
    """

    def __init__(
        self,
        metric: Metric | None = None,
        sample: EpochSample | None = None,
        warn: Callable[[str], None] = lambda message: None,
        subject: Subject = Subject(),  # noqa: B008  # it never changes
    ) -> None:
        self._metric = metric
        self._sample = sample
        self._warn = warn
        self._subject = subject
        self._hooks = ExitStack()
        self._pass_hooks = ExitStack()
        self._candidates: dict[int, tuple[HookedLayers, ExitStack]] = {}
        self._active = False
        self._collections: dict[int, _Collection] = {}
        self._error: Exception | None = None
        self._ignored_training = self._has_rows = False

    def hook(self, model: nn.Module, candidates: Sequence[Sequence[str]], *, stand_ins: bool) -> None:
        """Put the hooks on a model.

        Args:
            model: The module.
            candidates: Sets of layers, the best first; the first pass decides which one is collected, as in `measure`.
            stand_ins: Whether modules may stand in for their content, see `ForwardPass`.
        """
        if model in unhookable(model).sealed:
            self._tell(
                "TopoLipMetric does not follow this model: it is compiled in place together with fused layers, and a "
                "hook would change its outputs. Use `analyze`, which runs it eagerly."
            )
            return
        for index, names in enumerate(candidates):
            layers = HookedLayers(model, names, stand_ins=stand_ins)
            self._candidates[index] = (layers, layers.hook_outside(partial(self._visit, index)))
        for handle in self._observed(model) if asks_for_hooks(model) else self._hooked(model):
            self._hooks.callback(handle.remove)

    def explain_emptiness(self) -> None:
        """Warn if all passes were ignored because the model was in training mode."""
        if self._ignored_training and not self._has_rows:
            self._tell(
                "TopoLipMetric has no samples, for it ignores passes in training mode; run one after `model.eval()`, "
                "or pass the outputs of the layers to `update`."
            )

    def remove(self) -> None:
        """Remove the hooks."""
        self.explain_emptiness()
        for _, hooks in self._candidates.values():
            hooks.close()
        self._hooks.close()
        self._clear()
        self._metric = self._sample = None  # compiled code may call removed hooks

    def __enter__(self) -> Any:
        if self._metric is None:
            raise RuntimeError("A copy is not attached; call `attach` of the metric.")
        return self._metric

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __reduce__(self) -> tuple[type[Attachment], tuple[()]]:
        return type(self), ()

    def _hooked(self, model: nn.Module) -> list[RemovableHandle]:
        return [
            model.register_forward_pre_hook(self._begin, with_kwargs=True),
            model.register_forward_hook(self._finish),
            model.register_forward_hook(self._drop, always_call=True),
        ]

    def _observed(self, model: nn.Module) -> list[RemovableHandle]:
        """As `_hooked`, by hooks that are on no module; these do not see keyword arguments before the pass."""

        def begin(module: nn.Module, args: Any) -> None:
            if module is model:
                self._begin(module, args, {})

        def finish(module: nn.Module, args: Any, output: Any) -> None:
            if module is model:
                self._finish(module, args, output)

        def drop(module: nn.Module, args: Any, output: Any) -> None:
            if module is model:
                self._drop(module, args, output)

        return [
            register_module_forward_pre_hook(begin),
            register_module_forward_hook(finish),
            register_module_forward_hook(drop, always_call=True),
        ]

    @eagerly
    def _begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._clear()
        if self._sample is None or model.training:
            self._ignored_training = True
            return
        self._active = True
        for index, (layers, _) in self._candidates.items():
            self._pass_hooks.enter_context(layers.observe(partial(self._visit, index)))
        self._attempt(lambda: self._start_with(model, args, kwargs))

    def _visit(self, index: int, name: str, module: nn.Module, output: Any) -> None:
        if self._active:
            self._attempt(lambda: self._add_output(index, name, module, output))

    @eagerly
    def _finish(self, model: nn.Module, args: Any, output: Any) -> None:
        if self._active:
            self._attempt(self._hand_over)
        if self._error is not None:
            self._tell(f"TopoLipMetric skips a pass: {self._error}")
        self._clear()

    @eagerly
    def _drop(self, model: nn.Module, args: Any, output: Any) -> None:
        self._clear()

    def _attempt(self, action: Callable[[], None]) -> None:
        """An error skips the pass."""
        try:
            action()
        except Exception as error:
            self._active, self._error = False, error

    def _tell(self, message: str) -> None:
        """Warn, but log the message where warnings are errors."""
        try:
            self._warn(message)
        except Warning:
            _log.warning(message)

    def _start_with(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs = (args, kwargs)
        samples = self._subject.samples_fn(inputs)
        positions = self._subject.positions_of_inputs(inputs, {**by_parameter(model, args), **kwargs})
        self._start(samples, input_rows(inputs, samples), self._subject.without_padding(positions))

    def _start(self, samples: int, inputs: Tensor | None, read: Read) -> None:
        """Choose the rows; a pass whose input has no rows starts with its first layer's output."""
        if samples and self._sample is not None:
            draw = self._sample.draw(samples)
            self._collections = {
                index: _Collection(layers, draw, inputs, read) for index, (layers, _) in self._candidates.items()
            }

    def _add_output(self, index: int, name: str, module: nn.Module, output: Any) -> None:
        if not self._collections:
            tensor = first_numbers(output)
            samples = len(tensor) if tensor is not None and tensor.ndim else 0
            unmasked = Positions.of((), samples, None, self._subject.settings.seed)
            self._start(samples, None, self._subject.without_padding(unmasked))
        if self._collections:
            self._collections[index].output(name, module, output)

    def _hand_over(self) -> None:
        """Update the metric with the rows of the best candidate, whose hooks alone are kept from now on."""
        assert self._metric is not None
        assert self._sample is not None
        if not self._collections:
            raise ValueError("no layer ran with an output that has rows")
        sizes = {index: len(collection) for index, collection in self._collections.items()}
        enough = [index for index, size in sizes.items() if size >= FEWEST_LAYERS]
        best = enough[0] if enough else max(sizes, key=sizes.__getitem__)
        layers = self._candidates[best][0]
        if 0 < sizes[best] < FEWEST_LAYERS and (layers.fused or layers.sealed):
            self._tell(
                "TopoLipMetric sees fewer than three layers: the others are parts of fused or compiled ones, where a "
                "hook would change the outputs. Use `analyze`, or call `torch.backends.mha.set_fastpath_enabled(False)`"
                " before the pass."
            )
        if sizes[best]:
            for index in [index for index in self._candidates if index != best]:
                self._candidates.pop(index)[1].close()
        self._metric.update(self._sample.fitting(*self._collections[best].result()))
        self._has_rows = True

    def _clear(self) -> None:
        self._pass_hooks.close()
        self._active, self._collections, self._error = False, {}, None
