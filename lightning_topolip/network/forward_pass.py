"""One pass of a batch through a network: every execution of a layer, by name, with one row per sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from lightning_topolip.network.eagerly import eagerly
from lightning_topolip.network.fused_layers import unhookable
from lightning_topolip.network.layers import named_layers
from lightning_topolip.network.sample_axis import (
    Representation,
    SequenceFirstBatchError,
    find_representation,
    holds_sequence_first,
)
from lightning_topolip.network.tree import content

OnOutput = Callable[[str, nn.Module, Any], Any]
Visit = Callable[[str, nn.Module, Representation], None]


class HookedLayers:
    """Some layers of a network, found once and hooked whenever a pass is to be seen.

    Args:
        model: The network.
        names: Names of its layers, as in `named_layers`.
        stand_ins: Whether the modules around a layer are hooked too; see `ForwardPass`.

    Attributes:
        names: Names of the layers.
        enclosing: Names of the modules around them, if they may stand in for the layers.
        mixed: Whether the network holds modules whose samples are on the second axis.
        fused: Names of the modules that compute in another way under a hook of their own, see `observe`.
        sealed: Names of the modules that cannot be seen without a change of the outputs, see `unhookable`.

    Raises:
        KeyError: If the model has no submodule of a name.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], *, stand_ins: bool = False) -> None:
        modules = named_layers(model)
        self.names = list(names)
        self.enclosing = {outer for name in names for outer in enclosing(name)} - set(names) if stand_ins else set()
        self._modules = {name: modules[name] for name in (*names, *sorted(self.enclosing))}
        self.mixed = holds_sequence_first(model)
        fused, sealed = unhookable(model)
        self.fused = {name for name, module in self._modules.items() if module in fused}
        self.sealed = {name for name, module in self._modules.items() if module in sealed}

    def hook(self, on_output: OnOutput, names: Collection[str] | None = None) -> ExitStack:
        """Call ``on_output(name, module, output)`` after every execution of a layer, until the stack is closed.

        An output that ``on_output`` returns takes the place of the layer's own; None leaves it alone. ``names`` selects
        some of the layers.
        """
        hooks = ExitStack()
        for name in self._modules if names is None else names:
            module = self._modules[name]
            hooks.callback(module.register_forward_hook(partial(_call, on_output, name)).remove)
        return hooks

    def hook_outside(self, on_output: OnOutput) -> ExitStack:
        """As `hook`, for the modules on which a hook cannot change an output."""
        return self.hook(on_output, self._modules.keys() - self.fused - self.sealed)

    def observe(self, on_output: OnOutput) -> ExitStack:
        """As `hook`, for the `fused` modules, by a hook that is on no module but sees all of this process."""
        names = {self._modules[name]: name for name in self.fused}
        hooks = ExitStack()

        @eagerly
        def see(module: nn.Module, inputs: Any, output: Any) -> None:
            if module in names:
                _call(on_output, names[module], module, inputs, output)

        if names:
            hooks.callback(register_module_forward_hook(see).remove)
        return hooks

    def why_unseen(self, name: str) -> str:
        """Say why a layer without an output has none."""
        if name in self.sealed:
            return "a hook would change what the compiled network computes here; it is skipped"
        return f"did not run{', or as a part of a fused layer' if name in self.fused else ''}; it is skipped"

    def representation(self, name: str, output: Any, samples: int) -> Representation:
        """Find the layer's one row per sample in its output, see `find_representation`."""
        return find_representation(content(self._modules[name]), output, samples, mixed=self.mixed)


class ForwardPass:
    """One pass of ``samples`` samples: names executions, finds representations, keeps the reasons why there is none.

    The k-th execution of a layer has the name ``"<layer>#k"`` from k = 2 on. If no layer inside an enclosing module
    has one row per sample but the module itself has, the module stands in for them; the innermost such module.

    Args:
        layers: The layers, hooked with `output`.
        samples: Number n of samples of the batch.
        visit: Called with name, module and representation while the layer runs. A `ValueError`
            or `RuntimeError` that it raises is the reason why the layer is skipped.
    """

    def __init__(self, layers: HookedLayers, samples: int, visit: Visit) -> None:
        self._layers = layers
        self._samples = samples
        self._visit = visit
        self._calls: Counter[str] = Counter()
        self._failures: dict[str, str] = {}
        self._represented_inside: set[str] = set()
        self._stand_ins: set[str] = set()

    def output(self, name: str, module: nn.Module, output: Any) -> None:
        """Take the output of one execution of a layer or of an enclosing module.

        Raises:
            SequenceFirstBatchError: If the layer shows that the batch does not have its samples first.
        """
        self._calls[name] += 1
        execution = name if self._calls[name] == 1 else f"{name}#{self._calls[name]}"
        is_enclosing = name in self._layers.enclosing
        if is_enclosing and name in self._represented_inside:
            self._represented_inside.discard(name)
            return
        try:
            representation = self._layers.representation(name, output, self._samples)
            self._visit(execution, content(module), representation)
        except (SequenceFirstBatchError, torch.OutOfMemoryError):
            raise
        except (ValueError, RuntimeError) as reason:
            if not is_enclosing:
                self._failures[execution] = str(reason)
            return
        self._represented_inside.update(enclosing(name))
        if is_enclosing:
            self._stand_ins.add(name)

    def failures(self) -> dict[str, str]:
        """The reasons why layers were skipped, once the pass is over; without those that have a stand-in."""
        unseen = {name: self._layers.why_unseen(name) for name in self._layers.names if not self._calls[name]}
        failures = {**self._failures, **unseen}
        return {name: why for name, why in failures.items() if not self._stand_ins.intersection(enclosing(name))}


def enclosing(name: str) -> list[str]:
    """Name the modules around a layer, the outermost first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@eagerly
def _call(on_output: OnOutput, name: str, module: nn.Module, inputs: Any, output: Any) -> Any:
    return on_output(name, module, output)
