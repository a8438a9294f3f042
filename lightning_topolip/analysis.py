"""One analysis: a model and a probe in, a smoothness report out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from lightning_topolip.network.batches import (
    move_batch,
    require_padded,
    run_model,
    samples_in,
)
from lightning_topolip.network.measure import Forward, measure
from lightning_topolip.topology.diagrams import Engine
from lightning_topolip.topology.report import SmoothnessReport, smoothness_report
from lightning_topolip.topology.settings import Reduction, Settings, View


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
