"""The subject of an analysis: which layers of a network, how it is called, and what is computed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.arguments import require_function, require_whole_number
from lightning_topolip.network.batches import FEWEST_SAMPLES, move_batch, named_inputs, run_model
from lightning_topolip.network.joined_batches import part_of
from lightning_topolip.network.layers import require_layers
from lightning_topolip.network.masks import Mask
from lightning_topolip.network.positions import Positions
from lightning_topolip.network.reductions import layer_cloud
from lightning_topolip.network.sample_axis import Representation
from lightning_topolip.network.samples import samples_in
from lightning_topolip.topology.settings import Settings

Forward = Callable[[Any, Any], Any]
SamplesFn = Callable[[Any], int]
Read = Callable[[nn.Module, Representation], Tensor]
"""Takes a module and its representation, and returns what is kept of it, one row per sample."""


@dataclass(frozen=True)
class Subject:
    """Which layers of a network an analysis looks at, how the network is called, and what is computed.

    Attributes:
        layers: As `resolve_layers` takes them.
        forward_fn: Called as ``forward_fn(model, batch)``.
        settings: The settings of the analysis.
        samples_fn: Counts the samples of a batch.
        batch_size: Number of samples of one forward; None runs the probe at once.
        mask: Which positions of sequences are real tokens.
    """

    layers: str | Sequence[str] = "auto"
    forward_fn: Forward = run_model
    settings: Settings = field(default_factory=Settings)
    samples_fn: SamplesFn = samples_in
    batch_size: int | None = None
    mask: Mask = "auto"

    def __post_init__(self) -> None:
        """Check everything but the settings, which check themselves."""
        require_layers(self.layers)
        require_function("forward_fn", self.forward_fn)
        require_function("samples_fn", self.samples_fn)
        if self.batch_size is not None:
            require_whole_number("probe_batch_size", self.batch_size, FEWEST_SAMPLES)
        if not (self.mask is None or isinstance(self.mask, str) or callable(self.mask)):
            raise ValueError(
                "Argument `mask` must be 'auto', the name of an entry of the batch, a function of the batch or None, "
                f"got {self.mask!r}."
            )

    def runs_in_parts(self, batch: Any) -> bool:
        """Whether a batch is larger than one forward takes."""
        return self.batch_size is not None and self.samples_fn(batch) > self.batch_size

    def positions(self, model: nn.Module, batch: Any) -> Positions:
        """Find the positions of the samples of a batch, also by the names under which ``forward`` takes its parts."""
        runs_forward = inspect.unwrap(self.forward_fn) is run_model
        return self.positions_of_inputs(batch, named_inputs(model, batch) if runs_forward else {})

    def positions_of_inputs(self, batch: Any, inputs: Mapping[str, Any]) -> Positions:
        """Find the positions of the samples of a batch, of which ``forward`` takes these inputs."""
        return Positions.of(batch, self.samples_fn(batch), self.mask, self.settings.seed, inputs)

    def without_padding(self, positions: Positions) -> Read:
        """Return what makes of an output those rows that no padding has part in: a point cloud, or the rows themselves.

        Sequences that are padded, or of which tokens are drawn, become points at once.
        """
        reduction = self.settings.reduction

        def read(module: nn.Module, representation: Representation) -> Tensor:
            rows = representation.rows
            is_drawn = rows.ndim == 3 and reduction == "token"
            if is_drawn or positions.tell_padding(rows, representation.real):
                return layer_cloud(module, representation, reduction, positions)
            return rows

        return read

    def placed(self, batch: Any, device: torch.device) -> tuple[Any, Subject]:
        """Move a batch to a device; one that runs in parts stays where it is, and each part is moved by the forward."""
        if not self.runs_in_parts(batch):
            return move_batch(batch, device), self
        forward_fn = self.forward_fn

        @functools.wraps(forward_fn)
        def forward(model: Any, part: Any) -> Any:
            return forward_fn(model, move_batch(part, device))

        return batch, replace(self, forward_fn=forward)

    def trial(self, batch: Any, device: torch.device) -> Any:
        """Select the samples of one forward, on a device."""
        count = self.samples_fn(batch)
        return move_batch(part_of(batch, count, 0, min(count, self.batch_size or count)), device)
