"""Hooks that collect the layers' outputs of every evaluation pass of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lightning_topolip.metric.reservoir import DTYPES, Draw
from lightning_topolip.network.batches import samples_in
from lightning_topolip.network.borrowing import first_floating_tensor
from lightning_topolip.network.layers import named_layers
from lightning_topolip.topology.names import INPUT

Hook = TypeVar("Hook", bound=Callable[..., None])


class Collector(Protocol):
    """What collects: it draws the rows to keep of a pass, and takes them."""

    def draw(self, count: int) -> Draw:
        """Choose among the next ``count`` samples."""

    def take(self, batch: Batch, skipped: dict[str, str]) -> None:
        """Take the kept rows of a pass, and the layers that gave none with the reason."""


class Batch(dict[str, Tensor]):
    """Rows that are kept of a batch, by layer."""

    def __init__(self, draw: Draw | None = None) -> None:
        super().__init__()
        self.draw = draw


def _eagerly(hook: Hook) -> Hook:
    """Keep a hook out of compiled graphs."""
    disable: Callable[[Hook], Hook] = torch.compiler.disable
    return disable(hook)


class Attachment(AbstractContextManager[Any]):
    """The hooks on one model. A copy of it, in a copy of the model, belongs to no collector and does nothing.

    Args:
        collector: What gets the rows; as a context manager the attachment gives it back.
    """

    def __init__(self, collector: Collector | None = None) -> None:
        self._collector = collector
        self._handles: list[RemovableHandle] = []
        self._names: list[str] = []
        self._batch: Batch | None = None
        self._calls: Counter[str] = Counter()
        self._skipped: dict[str, str] = {}

    def hook(self, model: nn.Module, names: list[str]) -> None:
        """Put the hooks on a model.

        Args:
            model: The module.
            names: Its layers.
        """
        self._names = names
        self._handles.append(model.register_forward_pre_hook(self._begin, with_kwargs=True))
        known = named_layers(model)
        for name in names:
            self._handles.append(known[name].register_forward_hook(partial(self._visit, name)))
        self._handles.append(model.register_forward_hook(self._finish))
        self._handles.append(model.register_forward_hook(self._drop, always_call=True))

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._batch = None
        self._collector = None  # compiled code may call removed hooks

    def __enter__(self) -> Any:
        if self._collector is None:
            raise RuntimeError("A copy is not attached; call `attach` of the metric.")
        return self._collector

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __reduce__(self) -> tuple[type[Attachment], tuple[()]]:
        return type(self), ()

    @_eagerly
    def _begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._batch = None
        if self._collector is None or model.training:
            return
        self._batch, self._calls, self._skipped = Batch(), Counter(), {}
        count, inputs = samples_in((args, kwargs)), first_floating_tensor((args, kwargs))
        if count:
            self._batch.draw = self._collector.draw(count)
        if inputs is not None and inputs.ndim and len(inputs) == count:
            self._copy(INPUT, inputs)

    @_eagerly
    def _visit(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        tensor = first_floating_tensor(output)
        if self._batch is not None and tensor is not None:
            self._calls[name] += 1
            self._copy(name if self._calls[name] == 1 else f"{name}#{self._calls[name]}", tensor)

    def _copy(self, name: str, output: Tensor) -> None:
        """Copy the rows at once: a later layer may write into the same memory."""
        if self._collector is None or self._batch is None:
            return
        if self._batch.draw is None and output.ndim:
            self._batch.draw = self._collector.draw(len(output))
        draw = self._batch.draw
        if draw is None or not output.ndim or len(output) != draw.count:
            samples = draw.count if draw else "several"
            self._skipped[name] = (
                f"its output has shape {tuple(output.shape)}, not one row for each of {samples} samples; it is left out"
            )
        elif str(output.dtype) not in DTYPES:
            self._skipped[name] = f"its output is {output.dtype}, not one of {', '.join(DTYPES)}; it is left out"
        else:
            self._batch[name] = draw.rows(output)

    @_eagerly
    def _finish(self, model: nn.Module, args: Any, output: Any) -> None:
        batch, self._batch = self._batch, None
        if self._collector is None or batch is None:
            return
        for name in self._names:
            if name not in batch and name not in self._skipped:
                self._skipped[name] = "did not run, or its output holds no floating-point tensor; it is left out"
        self._collector.take(batch, self._skipped)

    @_eagerly
    def _drop(self, model: nn.Module, args: Any, output: Any) -> None:
        self._batch = None
