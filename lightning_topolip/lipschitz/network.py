"""Lipschitz constants of the steps of a network, from each layer to the next, from below and from above."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from lightning_topolip.lipschitz.bound import LipschitzBound, chained, lipschitz_bound
from lightning_topolip.lipschitz.local_constant import Function, LocalLipschitz, joined, local_lipschitz
from lightning_topolip.network.batches import model_inputs, move_batch, run_model
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.forward_pass import ForwardPass, HookedLayers
from lightning_topolip.network.joined_batches import part_of
from lightning_topolip.network.layers import resolve_layers
from lightning_topolip.network.sample_axis import (
    find_representation,
    first_floating_tensor,
    with_tensor_replaced,
)
from lightning_topolip.network.samples import samples_in
from lightning_topolip.network.subject import Forward, SamplesFn
from lightning_topolip.randomness import kept_random_numbers
from lightning_topolip.topology.names import INPUT, OUTPUT

_WITNESSES = 2

Step = tuple[str, str]
Constant = TypeVar("Constant")


@dataclass(frozen=True)
class LayerConstants(Generic[Constant]):
    """Lipschitz constants of the steps of a network, from layer to layer and end to end.

    Attributes:
        steps: By step, a pair of names: ``"<input>"`` and the first layer, each layer and the next, the last layer and
            ``"<output>"``, and both ends of the network.
        failures: The reason for each step without a constant.
    """

    steps: dict[Step, Constant]
    failures: dict[Step, str]


def layer_lipschitz(
    model: nn.Module,
    batch: Any,
    layers: str | Sequence[str] = "auto",
    *,
    forward_fn: Forward | None = None,
    samples_fn: SamplesFn = samples_in,
    tolerance: float = 1e-2,
    max_iterations: int = 200,
    batch_size: int = 64,
    seed: int = 0,
) -> LayerConstants[LocalLipschitz]:
    """Compute the local Lipschitz constant of every step from layer to layer, and of the whole network.

    A step has a constant if the later layer depends on the samples only through the earlier one; if a skip connection
    bypasses that, the reason is in ``failures``. Layers are taken in the order of execution. The model is borrowed.

    Args:
        model: Any module whose samples do not influence each other.
        batch: The probe, samples first, as for `analyze`. If it holds no floating-point tensor, the steps start at the
            first layer.
        layers: See `resolve_layers`.
        forward_fn: Called as ``forward_fn(model, batch)`` instead of `run_model`.
        samples_fn: Counts the samples of the batch.
        tolerance: See `local_lipschitz`.
        max_iterations: See `local_lipschitz`.
        batch_size: Number of samples per forward pass.
        seed: Seed of the starting vectors and of the model's own random numbers.

    Returns:
        The constants of the steps, all of them lower bounds.

    Raises:
        ValueError: If an argument is invalid.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
        >>> constants = layer_lipschitz(model, torch.randn(5, 3))
        >>> list(constants.steps)
        [('<input>', '0'), ('0', '1'), ('1', '<output>'), ('<input>', '<output>')]
        >>> round(constants.steps["1", "<output>"].max, 6)
        1.0
    """

    def measure(function: Function, inputs: Tensor) -> LocalLipschitz:
        return local_lipschitz(
            function, inputs, tolerance=tolerance, max_iterations=max_iterations, batch_size=len(inputs), seed=seed
        )

    n = samples_fn(batch)
    parts = [
        _measure_steps(
            _network(model, part_of(batch, n, start, start + batch_size), layers, forward_fn, samples_fn),
            seed,
            measure,
        )
        for start in range(0, max(n, 1), batch_size)
    ]
    failures = {step: reason for part in parts for step, reason in part.failures.items()}
    measured = [step for step in parts[0].steps if step not in failures]
    return LayerConstants({step: joined([part.steps[step] for part in parts]) for step in measured}, failures)


def layer_bounds(
    model: nn.Module,
    batch: Any,
    layers: str | Sequence[str] = "auto",
    *,
    forward_fn: Forward | None = None,
    samples_fn: SamplesFn = samples_in,
    everywhere: bool = False,
    seed: int = 0,
) -> LayerConstants[LipschitzBound]:
    """Bound the Lipschitz constant of every step from layer to layer, and of the whole network, from above.

    Args:
        model: Any module whose samples do not influence each other. It is borrowed.
        batch: The probe, samples first, as for `analyze`.
        layers: See `resolve_layers`.
        forward_fn: Called as ``forward_fn(model, batch)`` instead of `run_model`.
        samples_fn: Counts the samples of the batch.
        everywhere: Whether the bounds must hold on the whole space, see `lipschitz_bound`.
        seed: Seed of the model's own random numbers.

    Returns:
        The bounds of the same steps as in `layer_lipschitz`, each at least as large as its value there.

    Raises:
        ValueError: If an argument is invalid.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.GELU(), torch.nn.Linear(3, 2))
        >>> batch = torch.randn(5, 3)
        >>> upper, lower = layer_bounds(model, batch).steps, layer_lipschitz(model, batch).steps
        >>> all(lower[step].max <= upper[step].value * 1.000001 for step in lower)
        True
    """
    return _measure_steps(
        _network(model, batch, layers, forward_fn, samples_fn),
        seed,
        lambda function, inputs: lipschitz_bound(function, inputs, everywhere=everywhere, seed=seed),
        chained,
    )


class _Reached(Exception):
    """Ends a forward pass once the last layer needed has run."""


@dataclass(frozen=True)
class _Network:
    """A borrowed model with one batch: everything that a forward pass needs."""

    model: nn.Module
    batch: Any
    forward: Forward
    layers: HookedLayers
    samples_fn: SamplesFn

    @property
    def samples(self) -> int:
        """Number of samples of the batch."""
        return self.samples_fn(self.batch)

    def input(self) -> Tensor | None:
        """The first floating-point tensor among the model's inputs."""
        return first_floating_tensor(model_inputs(self.model, self.batch))

    def run(self, replacements: dict[str, Tensor], end: str) -> Tensor | None:
        """The rows of one layer, with the rows of some earlier places replaced."""
        before = len(replacements[INPUT]) if INPUT in replacements else self.samples
        after = len(next(iter(replacements.values()))) if replacements else self.samples
        reached: list[Tensor] = []

        def substitute_or_stop(name: str, module: nn.Module, output: Any) -> Any:
            if name != end:
                return self.layers.representation(name, output, before).replaced_in(output, replacements[name])
            reached.append(self.layers.representation(name, output, after).rows)
            raise _Reached

        batch = with_tensor_replaced(self.batch, self.input(), replacements.get(INPUT))
        with self.layers.hook(substitute_or_stop, {*replacements, end} - {INPUT, OUTPUT}):
            try:
                output = self.forward(self.model, batch)
            except _Reached:
                return reached[0]
        return self._rows_of_output(output, after)

    def outputs(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The rows of the input, of every execution of a layer and of the output; why others are missing."""
        inputs = self.input()
        rows = {} if inputs is None else {INPUT: inputs}
        forward_pass = ForwardPass(
            self.layers, self.samples, lambda name, _, own: rows.update({name: own.rows.clone()})
        )
        with self.layers.hook(forward_pass.output):
            output = self.run({}, OUTPUT)
        return rows if output is None else {**rows, OUTPUT: output}, forward_pass.failures()

    def _rows_of_output(self, output: Any, samples: int) -> Tensor | None:
        try:
            return find_representation(self.model, output, samples, mixed=self.layers.mixed).rows
        except ValueError:
            return first_floating_tensor(output)


def _network(
    model: nn.Module,
    batch: Any,
    layers: str | Sequence[str],
    forward_fn: Forward | None,
    samples_fn: SamplesFn,
) -> _Network:
    hooked = HookedLayers(model, resolve_layers(model, layers))
    parameter = next(model.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    return _Network(model, move_batch(batch, device), forward_fn or run_model, hooked, samples_fn)


def _measure_steps(
    network: _Network,
    seed: int,
    measure: Callable[[Function, Tensor], Constant],
    combine: Callable[[list[Constant]], Constant] | None = None,
) -> LayerConstants[Constant]:
    """Measure each step, and the whole network unless ``combine`` computes it from the steps."""
    names = network.layers.names
    constants: LayerConstants[Constant] = LayerConstants({}, {})
    with borrowed(network.model, seed):
        outputs, skipped = network.outputs()
        chain = [name for name in outputs if name in (INPUT, *names, OUTPUT)]
        if len(chain) < 2:
            raise ValueError(
                "Arguments `model` and `batch` must yield floating-point tensors at two or more of the input, the "
                f"layers and the output, got {chain or 'none'}; check what the model returns."
            )
        pairs = list(itertools.pairwise(chain))
        for start, end in [*pairs, (chain[0], chain[-1])]:
            if (start, end) in constants.steps:
                continue
            reason = _obstacle(network, outputs, chain[0], start, end, seed)
            if reason:
                constants.failures[start, end] = reason
            elif combine and constants.steps.keys() == set(pairs):
                constants.steps[start, end] = combine([*constants.steps.values()])
            else:
                _measure_step(constants, network, outputs[start], start, end, measure)
    constants.failures.update({(name, name): reason for name, reason in skipped.items()})
    return constants


def _measure_step(
    constants: LayerConstants[Constant],
    network: _Network,
    inputs: Tensor,
    start: str,
    end: str,
    measure: Callable[[Function, Tensor], Constant],
) -> None:
    def function(hidden: Tensor) -> Tensor:
        return cast(Tensor, network.run({start: hidden}, end))

    try:
        constants.steps[start, end] = measure(function, inputs)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        constants.failures[start, end] = str(error)


def _obstacle(network: _Network, outputs: dict[str, Tensor], first: str, start: str, end: str, seed: int) -> str | None:
    """Return why the later layer's output is not a function of the earlier layer's; None if it is."""
    n = network.samples
    for name in (start, end):
        if f"{name}#2" in outputs:
            return f"`{name}` runs more than once"
        if outputs[name].ndim < 1 or len(outputs[name]) != n:
            return f"`{name}` has shape {tuple(outputs[name].shape)}, not one row for each of {n} samples"
    if start == first:
        return None
    witnesses = replace(network, batch=part_of(network.batch, n, 0, _WITNESSES))
    held, x = outputs[start][:_WITNESSES], outputs[first][:_WITNESSES]
    ends = []
    try:
        for moved in (x, 1.001 * x + 0.001, 1 - 2 * x):
            with kept_random_numbers(seed):
                ends.append(witnesses.run({first: moved.clone(), start: held.clone()}, end))
    except Exception as error:
        return f"cannot determine what `{end}` depends on: with other samples the model raises {error!r}"
    if all(_equal(ends[0], other) for other in ends[1:]):
        return None
    return f"`{end}` does not depend on the samples through `{start}` alone"


def _equal(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.equal(first.nan_to_num(), second.nan_to_num()) and torch.equal(first.isnan(), second.isnan())
