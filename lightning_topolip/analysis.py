"""One analysis: a model and a probe in, a smoothness report out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lightning_topolip.activations import first_floating_tensor, observe
from lightning_topolip.clouds import Reduction, point_cloud
from lightning_topolip.diagrams import Engine
from lightning_topolip.distances import distance_matrix
from lightning_topolip.layers import resolve_layers
from lightning_topolip.probe import FEWEST_SAMPLES, model_inputs, move_batch, run_model, samples_in
from lightning_topolip.settings import Settings, View
from lightning_topolip.smoothness import INPUT, SmoothnessReport, smoothness_report

Forward = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Measurement:
    """Distance matrices of a network's layers on one probe: all that leaves the accelerator.

    Attributes:
        distances: By layer in the order of execution, each of shape ``(n, n)``, float32; None where the layer's
            output has no distances (NaN, infinite).
        failures: By layer why it is None or missing.
    """

    distances: dict[str, npt.NDArray[np.float32] | None]
    failures: dict[str, str]

    def add(self, name: str, output: Tensor, reduction: Reduction) -> None:
        """Measure a layer; one without distances is None, with the reason.

        Args:
            name: The layer.
            output: Its output, shape ``(n, ...)``.
            reduction: How it becomes a cloud.
        """
        try:
            self.distances[name] = distance_matrix(point_cloud(output, reduction)).cpu().numpy()
        except ValueError as error:
            self.distances[name] = None
            self.failures[name] = str(error)


def analyze(
    model: nn.Module,
    batch: Any,
    layers: str | Sequence[str] = "auto",
    *,
    forward_fn: Forward | None = None,
    order: float = 2.0,
    dimensions: Sequence[int] = (0, 1),
    reduction: Reduction = "flatten",
    engine: Engine = "giotto",
    view: View = "scaled",
    include_input: bool = False,
    noise_splits: int = 4,
    seed: int = 0,
) -> SmoothnessReport:
    """Measure how smoothly a model carries a batch from layer to layer.

    The model is borrowed: it runs once in evaluation mode and comes back exactly as it was.

    Args:
        model: Any module. The batch is moved to the device of its first parameter.
        batch: The probe: a tensor or any nesting of tensors, n >= 3 samples first. `run_model` says what of it
            reaches the model.
        layers: ``"auto"``, a pattern or a list of names, see `resolve_layers`.
        forward_fn: Called as ``forward_fn(model, batch)`` instead of `run_model`, where the model's own ``forward``
            is not what is to be analysed.
        order: Order p of the Wasserstein distance, from 1 to ``math.inf``.
        dimensions: Homology dimensions.
        reduction: ``"flatten"``, ``"mean"`` over positions, or ``"cls"``, token 0.
        engine: ``"giotto"``, ``"ripser"`` or ``"gudhi"``.
        view: ``"scaled"`` or ``"raw"``: which of the two views the headline shows; the report holds both.
        include_input: Whether the step from the input joins score and speed.
        noise_splits: Random halvings of the probe for the noise band; 0 leaves it out.
        seed: Seed of the halvings and of what the model draws.

    Returns:
        The report. A layer that gave no distances is NaN there, with the reason in ``report.failures``.

    Raises:
        ValueError: If an argument is not allowed or the batch holds fewer than 3 samples.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)])
        >>> report = analyze(model, torch.randn(32, 8))
        >>> report.layers
        ('<input>', '0', '1', '2', '3')
        >>> report.score >= 0
        True
    """
    chosen = Settings(
        order=order,
        dimensions=tuple(dimensions) if isinstance(dimensions, Sequence) else dimensions,
        reduction=reduction,
        engine=engine,
        view=view,
        include_input=include_input,
        noise_splits=noise_splits,
        seed=seed,
    )
    names = resolve_layers(model, layers)
    parameter = next(model.parameters(), None)
    batch = move_batch(batch, parameter.device if parameter is not None else torch.device("cpu"))
    measured = measure(model, batch, names, chosen, forward_fn or run_model)
    return smoothness_report(measured.distances, chosen, measured.failures, samples_in(batch))


def measure(
    model: nn.Module, batch: Any, layers: Sequence[str], settings: Settings, forward_fn: Forward
) -> Measurement:
    """Run the probe once and reduce every layer's output to its distances while the model goes on.

    Args:
        model: The module to borrow.
        batch: The probe, on the model's device, n >= 3 samples first; the model may change it.
        layers: Names of layers.
        settings: The reduction and the seed.
        forward_fn: Called as ``forward_fn(model, batch)``.

    Returns:
        The distances, first those of the input where what ``forward`` takes holds a tensor of real numbers.

    Raises:
        ValueError: If the batch holds fewer than 3 samples, or no layer gave one output a sample.
    """
    n = samples_in(batch)
    if n < FEWEST_SAMPLES:
        raise ValueError(f"Argument `batch` must hold at least {FEWEST_SAMPLES} samples, got {n}; give a larger probe.")
    found = Measurement({}, {})
    inputs = first_floating_tensor(model_inputs(model, batch))
    if inputs is not None and inputs.ndim and len(inputs) == n:
        _record(found, INPUT, inputs, n, "flatten")
    with observe(
        model, layers, lambda name, output: _record(found, name, output, n, settings.reduction), settings.seed
    ):
        forward_fn(model, batch)
    for name in layers:
        if name not in found.distances and name not in found.failures:
            found.failures[name] = "did not run, or its output holds no floating-point tensor; it is left out"
    if not set(found.distances) - {INPUT}:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in found.failures.items())
        raise ValueError(f"Argument `layers` must name layers with one output a sample, got none ({reasons}).")
    return found


def _record(found: Measurement, name: str, output: Tensor, n: int, reduction: Any) -> None:
    if output.ndim < 1 or len(output) != n:
        found.failures[name] = (
            f"its output has shape {tuple(output.shape)}, not one row for each of {n} samples; it is left out"
        )
        return
    found.add(name, output, reduction)
