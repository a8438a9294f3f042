"""A model and a probe in, the distances of every layer out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lightning_topolip.network.batches import FEWEST_SAMPLES, copied, model_inputs
from lightning_topolip.network.blocks import FEWEST_LAYERS
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.network.fingerprint import probe_fingerprint
from lightning_topolip.network.forward_pass import ForwardPass, HookedLayers
from lightning_topolip.network.layers import candidate_layers
from lightning_topolip.network.parts import clouds_from_parts
from lightning_topolip.network.reductions import layer_cloud, point_cloud
from lightning_topolip.network.sample_axis import Representation, input_rows
from lightning_topolip.network.subject import Subject
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.settings import Reduction


def measure(model: nn.Module, batch: Any, subject: Subject, *, rank: int = 0, ranks: int = 1) -> Measurement:
    """Run the probe once and reduce every layer's output to its distances while the model runs on.

    Under ``"auto"`` the layers are the blocks that run. If nothing in a module has one row per sample, such as windows
    or experts that take the samples apart, the module stands in for its content; if fewer than three layers are left,
    the probe runs again for the next of `levels`.

    Args:
        model: The module to borrow.
        batch: The probe, n >= 3 samples first, see `Subject.placed`; the model may change it.
        subject: The layers, how the model is called, the reduction and the seed.
        rank: This process measures every ``ranks``-th layer in the order of execution, starting with this one.
        ranks: Number of processes that share the layers.

    Returns:
        The distances, first those of the input if the first tensor that ``forward`` takes holds real or complex
        numbers.

    Raises:
        ValueError: If the batch holds fewer than 3 samples, or no layer has one row per sample.
    """
    candidates, by_structure = candidate_layers(model, subject.layers), subject.layers == "auto"
    n = subject.samples_fn(batch)
    if n < FEWEST_SAMPLES:
        hint = "give a larger probe" if n else f"a {type(batch).__name__} without tensors has none"
        raise ValueError(f"Argument `batch` must hold at least {FEWEST_SAMPLES} samples, got {n}; {hint}.")
    fingerprint, measurements = probe_fingerprint(batch), list[Measurement]()
    for names in candidates:
        layers = HookedLayers(model, names, stand_ins=by_structure)
        probe = copied(batch) if by_structure and not subject.runs_in_parts(batch) else batch
        measurements.append(_measure_layers(model, probe, layers, subject, lambda index: index % ranks == rank))
        if len(measurements[-1].layers) >= FEWEST_LAYERS:
            break
    best = max(measurements, key=lambda measurement: len(measurement.layers))
    if len(best.layers) < (2 if by_structure else 1):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in best.failures.items())
        raise ValueError(
            f"Argument `layers` must name layers with one row per sample, got {', '.join(best.layers) or 'none'} "
            f"({reasons or 'auto needs two or more'})."
        )
    return replace(best, probe=fingerprint)


def _measure_layers(
    model: nn.Module, batch: Any, layers: HookedLayers, subject: Subject, is_mine: Callable[[int], bool]
) -> Measurement:
    distances: dict[str, npt.NDArray[np.float32] | None] = {}
    failures: dict[str, str] = {}
    reduction, n = subject.settings.reduction, subject.samples_fn(batch)

    def add(name: str, distances_of_layer: Callable[[], npt.NDArray[np.float32]]) -> None:
        mine = is_mine(len(distances))
        distances[name] = None
        if mine:
            try:
                distances[name] = distances_of_layer()
            except torch.OutOfMemoryError:
                raise
            except (ValueError, RuntimeError) as error:
                failures[name] = str(error)

    def visit(name: str, module: nn.Module, representation: Representation) -> None:
        add(name, lambda: distances_of_rows(layer_cloud(module, representation, reduction, positions), "flatten"))

    def take(name: str, cloud: Tensor | None) -> None:
        if cloud is None:
            distances[name] = None
        else:
            add(name, lambda: distances_of_rows(cloud, "flatten"))

    positions = subject.positions(model, batch)
    inputs = input_rows(model_inputs(model, batch), n)
    if inputs is not None:
        add(INPUT, lambda: distances_of_rows(inputs, "flatten"))
    if subject.runs_in_parts(batch):
        missing = clouds_from_parts(model, batch, layers, subject, positions, take)
    else:
        forward_pass = ForwardPass(layers, n, visit)
        with borrowed(model, subject.settings.seed), layers.hook(forward_pass.output):
            subject.forward_fn(model, batch)
        missing = forward_pass.failures()
    return Measurement(distances, {**failures, **missing}, n)


def distances_of_rows(rows: Tensor, reduction: Reduction) -> npt.NDArray[np.float32]:
    """Reduce a layer's rows, shape ``(n, ...)``, to the distances of their cloud.

    Raises:
        ValueError: If the reduction does not fit the shape, or the distances are not finite.
    """
    matrix: npt.NDArray[np.float32] = distance_matrix(point_cloud(rows, reduction)).cpu().numpy()
    return matrix
