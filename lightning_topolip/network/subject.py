"""The subject of an analysis: which layers of a network, how it is called, and what is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightning_topolip.network.batches import run_model
from lightning_topolip.network.samples import samples_in
from lightning_topolip.topology.settings import Settings

Forward = Callable[[Any, Any], Any]
SamplesFn = Callable[[Any], int]


@dataclass(frozen=True)
class Subject:
    """Which layers of a network an analysis looks at, how the network is called, and what is computed.

    Attributes:
        layers: As `resolve_layers` takes them.
        forward_fn: Called as ``forward_fn(model, batch)``.
        settings: The settings of the analysis.
        samples_fn: Counts the samples of a batch.
    """

    layers: str | Sequence[str] = "auto"
    forward_fn: Forward = run_model
    settings: Settings = field(default_factory=Settings)
    samples_fn: SamplesFn = samples_in
