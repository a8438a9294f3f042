"""The layers' outputs of a training forward, and the gradients that are added to theirs in the backward pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lightning_topolip.network.blocks import FEWEST_LAYERS
from lightning_topolip.network.distances import real_coordinates
from lightning_topolip.network.eagerly import eagerly
from lightning_topolip.network.forward_pass import ForwardPass, HookedLayers, enclosing
from lightning_topolip.network.layers import candidate_layers, named_layers
from lightning_topolip.network.reductions import layer_cloud
from lightning_topolip.network.sample_axis import Representation
from lightning_topolip.topology.settings import Reduction


class LayerOutput:
    """One output of a layer in a training forward.

    Args:
        module: The layer.
        representation: Where the output holds one row per sample.
        points: Number n of samples that are copied, the first ones.

    Attributes:
        rows: A copy of their rows, shape ``(n, ...)``, a leaf with gradients.
        addition: What is added to the gradient of these rows in a backward pass; None for nothing.
        is_compared: Whether the norm of its gradient is to be taken.
        gradient_norm: That norm; NaN before.
        in_graph: Whether a backward pass can reach the output.
        reached: Whether one has reached it since there is an addition or a comparison.
    """

    def __init__(self, module: nn.Module, representation: Representation, points: int) -> None:
        self._module = module
        self._axis = representation.axis
        self._real = None if representation.real is None else representation.real[:points]
        self.rows = representation.rows[:points].detach().clone().requires_grad_()
        self.addition: Tensor | None = None
        self.is_compared = False
        self.gradient_norm = math.nan
        self.in_graph = self.reached = False
        self.follow(representation.tensor)

    @property
    def is_active(self) -> bool:
        """Whether there is an addition or a comparison."""
        return self.is_compared or self.addition is not None

    def follow(self, tensor: Tensor) -> None:
        """Take part in the backward pass of the output, or of its recomputation under reentrant checkpointing."""
        if tensor.requires_grad and not self.in_graph:
            self.in_graph = True
            tensor.register_hook(self._arrive)  # type: ignore[no-untyped-call]

    def cloud(self, reduction: Reduction) -> Tensor:
        """The point cloud of the rows, shape ``(n, d)``."""
        return layer_cloud(self._module, Representation(self.rows, 0, self._real), reduction)

    def _arrive(self, gradient: Tensor | None) -> Tensor | None:
        """Take a gradient; there is none for an unused part of what an operation returned, and none can be made."""
        if gradient is None or not self.is_active:
            return None
        self.reached = True
        if self.is_compared:
            self.gradient_norm = norm_of(gradient)
        if self.addition is None:
            return None
        total = gradient.clone()
        total.movedim(self._axis, 0)[: len(self.addition)] += self.addition.to(gradient.dtype)
        return total


def norm_of(tensor: Tensor) -> float:
    """The norm of a tensor of any dtype on any device."""
    values = real_coordinates(tensor.detach())
    return float(torch.linalg.vector_norm(values if values.dtype == torch.float64 else values.float()))


class TrainingOutputs:
    """Hooks that keep the outputs of the latest pass of a network in training mode, while they are `open`.

    A pass is a call of the innermost module around all layers with gradients enabled, or, if that is not called, what
    runs from one backward pass to the next. Until a pass has shown which layers run, all candidates for ``"auto"`` are
    followed, as in `measure`. A copy, in a copy of the module, does nothing.

    Args:
        pl_module: The module.
        layers: As `resolve_layers` takes them.

    Attributes:
        samples: Number of samples of the batch; 0 while closed.
        ambiguous: Layers that were recomputed under reentrant checkpointing but ran several times, so that it is not
            known which output is which.
    """

    def __init__(self, pl_module: LightningModule, layers: str | Sequence[str]) -> None:
        self._module = pl_module
        self._candidates: dict[int, tuple[HookedLayers, ExitStack]] = {}
        self._passes: dict[int, ForwardPass] = {}
        self._outputs: dict[int, dict[str, LayerOutput]] = {}
        self._errors: dict[str, str] = {}
        self.ambiguous: set[str] = set()
        self.samples = self._points = 0
        self._is_backward = self._is_over = self._is_rooted = False
        self._depth = self._muted = 0
        candidates = candidate_layers(pl_module, layers)
        for index, names in enumerate(candidates):
            hooked = HookedLayers(pl_module, names, stand_ins=layers == "auto")
            self._candidates[index] = (hooked, hooked.hook(partial(self._see, index)))
        root = _innermost_around(pl_module, [name for names in candidates for name in names])
        self._root_hooks = [
            root.register_forward_pre_hook(self._enter),
            root.register_forward_hook(self._leave, always_call=True),
        ]

    def open(self, samples: int, points: int) -> None:
        """Follow the passes of a batch of so many samples, of which the first ``points`` are kept."""
        self.samples, self._points, self._is_backward = samples, min(points, samples), False
        self._is_rooted, self._depth, self._muted = False, 0, 0
        self._start()

    def begin_backward(self) -> dict[str, LayerOutput]:
        """Return the latest pass's outputs by name, in the order of execution; from now on outputs are recomputed."""
        self._is_backward = True
        sizes = {index: len(outputs) for index, outputs in self._outputs.items()}
        enough = [index for index, size in sizes.items() if size >= FEWEST_LAYERS]
        best = enough[0] if enough else max(sizes, key=sizes.__getitem__)
        if sizes[best]:
            for index in [index for index in self._candidates if index != best]:
                self._candidates.pop(index)[1].close()
        return self._outputs[best]

    def end_backward(self) -> None:
        """See new passes again."""
        self._is_backward, self._is_over = False, True

    @property
    def failures(self) -> dict[str, str]:
        """Why layers have no output in the latest pass, by name."""
        return {name: why for passed in self._passes.values() for name, why in passed.failures().items()} | self._errors

    def close(self) -> None:
        """Follow nothing, and free the outputs."""
        self.samples = 0
        self._passes, self._outputs = {}, {}

    def remove(self) -> None:
        """Remove the hooks."""
        self.close()
        for handle in self._root_hooks:
            handle.remove()
        for _, hooks in self._candidates.values():
            hooks.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _closed, ()

    @property
    def _is_open(self) -> bool:
        return self.samples > 0 and self._module.training

    def _start(self) -> None:
        self._errors, self._is_over = {}, False
        self._outputs = {index: {} for index in self._candidates}
        self._passes = {
            index: ForwardPass(hooked, self.samples, partial(self._keep, index))
            for index, (hooked, _) in self._candidates.items()
        }

    @eagerly
    def _enter(self, module: nn.Module, inputs: Any) -> None:
        if not self._is_open or self._is_backward:
            return
        if self._muted or not torch.is_grad_enabled():
            self._muted += 1
            return
        self._is_rooted = True
        self._depth += 1
        self._start()

    @eagerly
    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not self._is_open or self._is_backward:
            return
        if self._muted:
            self._muted -= 1
        elif self._depth:
            self._depth -= 1

    def _see(self, index: int, name: str, module: nn.Module, output: Any) -> None:
        if not self._is_open or index not in self._passes or self._muted:
            return
        try:
            if self._is_backward:
                self._see_again(index, name, output)
                return
            if self._is_rooted and not self._depth:
                return
            if self._is_over:
                self._start()
            self._passes[index].output(name, module, output)
        except (ValueError, RuntimeError) as error:  # the training goes on
            self._errors[name] = str(error)

    def _keep(self, index: int, name: str, module: nn.Module, representation: Representation) -> None:
        self._outputs[index][name] = LayerOutput(module, representation, self._points)

    def _see_again(self, index: int, name: str, output: Any) -> None:
        """Follow a recomputed output, of a layer that ran once."""
        kept = self._outputs[index]
        if f"{name}#2" in kept:
            if not kept[name].in_graph:
                self.ambiguous.add(name)
        elif name in kept:
            kept[name].follow(self._candidates[index][0].representation(name, output, self.samples).tensor)


def _closed() -> TrainingOutputs:
    """A copy, whose hooks do nothing."""
    outputs = object.__new__(TrainingOutputs)
    outputs.samples = 0
    return outputs


def _innermost_around(pl_module: LightningModule, names: Sequence[str]) -> nn.Module:
    """The innermost module that holds all layers and has a ``forward``."""
    modules: dict[str, nn.Module] = named_layers(pl_module)
    root: nn.Module = pl_module
    for name in enclosing(names[0]):
        if not all(other.startswith(f"{name}.") for other in names):
            break
        if not isinstance(modules[name], (nn.ModuleList, nn.ModuleDict)):
            root = modules[name]
    return root
