"""A model and a probe in, the distances of every layer out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from lightning_topolip.network.batches import FEWEST_SAMPLES, copied, model_inputs, samples_in
from lightning_topolip.network.blocks import FEWEST_LAYERS
from lightning_topolip.network.borrowing import observe
from lightning_topolip.network.clouds import point_cloud
from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.network.forward_pass import representations_of
from lightning_topolip.network.layers import candidate_layers
from lightning_topolip.network.representations import tensors_in, with_channels_in_place
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.settings import Reduction, Settings

Forward = Callable[[Any, Any], Any]


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
        add_layer(found, name, with_channels_in_place(module, output) if mean else output, settings.reduction)

    n, inputs = samples_in(batch), next(tensors_in(model_inputs(model, batch)), None)
    if inputs is not None and inputs.is_floating_point() and inputs.ndim and len(inputs) == n:
        add_layer(found, INPUT, inputs, "flatten")
    with (
        observe(model, (), lambda name, output: None, settings.seed),
        representations_of(model, path, n, take, stand_in) as failures,
    ):
        forward_fn(model, batch)
    found.failures.update(failures)


def add_layer(measurement: Measurement, name: str, output: Tensor, reduction: Reduction) -> None:
    """Measure a layer; one without distances is None, with the reason."""
    mine = len(measurement.distances) % measurement.ranks == measurement.rank
    measurement.distances[name] = None
    if mine:
        try:
            measurement.distances[name] = distance_matrix(point_cloud(output, reduction)).cpu().numpy()
        except ValueError as error:
            measurement.failures[name] = str(error)
