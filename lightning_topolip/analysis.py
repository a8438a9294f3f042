"""One analysis: a model and a probe in, a smoothness report out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lightning_topolip.activations import observe
from lightning_topolip.blocks import FEWEST_LAYERS
from lightning_topolip.clouds import Reduction, point_cloud
from lightning_topolip.diagrams import Engine
from lightning_topolip.distances import distance_matrix
from lightning_topolip.layers import candidate_layers
from lightning_topolip.passes import representations_of
from lightning_topolip.probe import (
    FEWEST_SAMPLES,
    copied,
    model_inputs,
    move_batch,
    require_padded,
    run_model,
    samples_in,
)
from lightning_topolip.representations import tensors_in, with_channels_in_place
from lightning_topolip.settings import Settings, View
from lightning_topolip.smoothness import INPUT, SmoothnessReport, smoothness_report

Forward = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Measurement:
    """Distance matrices of a network's layers on one probe: all that leaves the accelerator.

    Attributes:
        distances: By layer in the order of execution, each of shape ``(n, n)``, float32; None where the layer's
            output has no distances (NaN, infinite) or where another rank measures it.
        failures: By layer why it is None or missing.
        rank: Which share of the layers is measured: of the layers as they run every ``ranks``-th, from this one on.
        ranks: Number of shares.
    """

    distances: dict[str, npt.NDArray[np.float32] | None]
    failures: dict[str, str]
    rank: int = 0
    ranks: int = 1

    @property
    def layers(self) -> list[str]:
        """The network's own layers that gave one output a sample, in the order of execution."""
        return [name for name in self.distances if name != INPUT]

    def add(self, name: str, output: Tensor, reduction: Reduction) -> None:
        """Measure a layer; one without distances is None, with the reason.

        Args:
            name: The layer.
            output: Its output, shape ``(n, ...)``.
            reduction: How it becomes a cloud.
        """
        mine = len(self.distances) % self.ranks == self.rank
        self.distances[name] = None
        if mine:
            try:
                self.distances[name] = distance_matrix(point_cloud(output, reduction)).cpu().numpy()
            except ValueError as error:
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
    subset_size: int | None = 512,
    seed: int = 0,
    geometry: bool = False,
) -> SmoothnessReport:
    """Measure how smoothly a model carries a batch from layer to layer.

    The model is borrowed: it runs in evaluation mode and comes back exactly as it was.

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
        subset_size: Probes of at least twice this size are cut into random subsets of it; None for never.
        seed: Seed of the halvings and of what the model draws.
        geometry: Whether ``report.geometry`` holds variance, dimensions and stretch from the input of every layer.

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
        subset_size=subset_size,
        seed=seed,
        geometry=geometry,
    )
    require_padded(batch)
    parameter = next(model.parameters(), None)
    batch = move_batch(batch, parameter.device if parameter is not None else torch.device("cpu"))
    measured = measure(model, batch, layers, chosen, forward_fn or run_model)
    return smoothness_report(measured.distances, chosen, measured.failures, samples_in(batch))


def measure(
    model: nn.Module,
    batch: Any,
    layers: str | Sequence[str],
    settings: Settings,
    forward_fn: Forward,
    rank: int = 0,
    ranks: int = 1,
) -> Measurement:
    """Run the probe once and reduce every layer's output to its distances while the model goes on.

    Under ``"auto"`` the layers are those blocks that run. Where nothing in a module has one output a sample, such as
    windows or experts that take the samples apart, the module stands in for what is in it; and where fewer than three
    layers are left, the probe runs again for the next of `levels`.

    Args:
        model: The module to borrow.
        batch: The probe, on the model's device, n >= 3 samples first; the model may change it.
        layers: As `resolve_layers` takes them.
        settings: The reduction and the seed.
        forward_fn: Called as ``forward_fn(model, batch)``.
        rank: Which share of the layers to measure.
        ranks: Number of shares.

    Returns:
        The distances, first those of the input where the first tensor that ``forward`` takes holds real numbers.

    Raises:
        ValueError: If the batch holds fewer than 3 samples, or no layer gave one output a sample.
    """
    candidates, by_structure = candidate_layers(model, layers), layers == "auto"
    n = samples_in(batch)
    if n < FEWEST_SAMPLES:
        raise ValueError(f"Argument `batch` must hold at least {FEWEST_SAMPLES} samples, got {n}; give a larger probe.")
    tried: list[Measurement] = []
    for path in candidates:
        tried.append(Measurement({}, {}, rank, ranks))
        probe = copied(batch) if by_structure else batch
        _measure_path(tried[-1], model, probe, path, settings, forward_fn, by_structure)
        if len(tried[-1].layers) >= FEWEST_LAYERS:
            break
    best = max(tried, key=lambda measured: len(measured.layers))
    fewest = 2 if by_structure else 1
    if len(best.layers) < fewest:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in best.failures.items())
        raise ValueError(
            f"Argument `layers` must name layers with one output a sample, got {', '.join(best.layers) or 'none'} "
            f"({reasons or 'auto needs two or more'})."
        )
    return best


def _measure_path(
    found: Measurement,
    model: nn.Module,
    batch: Any,
    path: Sequence[str],
    settings: Settings,
    forward_fn: Forward,
    stand_in: bool,
) -> None:
    def take(name: str, module: nn.Module, output: Tensor) -> None:
        mean = settings.reduction == "mean"
        found.add(name, with_channels_in_place(module, output) if mean else output, settings.reduction)

    n, inputs = samples_in(batch), next(tensors_in(model_inputs(model, batch)), None)
    if inputs is not None and inputs.is_floating_point() and inputs.ndim and len(inputs) == n:
        found.add(INPUT, inputs, "flatten")
    with (
        observe(model, (), lambda name, output: None, settings.seed),
        representations_of(model, path, n, take, stand_in) as failures,
    ):
        forward_fn(model, batch)
    found.failures.update(failures)
