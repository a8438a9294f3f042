"""The probe in parts, for a network whose forward does not fit into memory with all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.network.batches import FEWEST_SAMPLES
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.forward_pass import ForwardPass, HookedLayers
from lightning_topolip.network.joined_batches import part_of
from lightning_topolip.network.positions import Positions
from lightning_topolip.network.reductions import layer_cloud
from lightning_topolip.network.sample_axis import Representation
from lightning_topolip.network.subject import Subject
from lightning_topolip.topology.settings import Reduction

HELD_BYTES = 2**31
"""Size of the point clouds that are held at once, beside the largest layer's."""

_TOLERANCE = 0.1

OnCloud = Callable[[str, Tensor | None], None]


def clouds_from_parts(
    model: nn.Module, batch: Any, layers: HookedLayers, subject: Subject, positions: Positions, on_cloud: OnCloud
) -> dict[str, str]:
    """Run the probe in parts and put every layer's point cloud together, some layers at a time.

    In evaluation mode a sample's outputs do not depend on the other samples, so the clouds are those of one forward, up
    to rounding. Where they do depend on them, as with batch norms that keep no running statistics, three samples alone
    have other outputs than within their part: such a layer is skipped.

    The clouds of as many layers as `HELD_BYTES` allows are held at once. For the others the probe runs again.

    Args:
        model: The module to borrow.
        batch: The probe.
        layers: Its layers.
        subject: How the model is called, with the size of the parts.
        positions: The positions of the samples.
        on_cloud: Called with name and cloud, shape ``(n, d)``, in the order of execution; None in place of a cloud that
            the reduction does not give.

    Returns:
        The reasons why layers have no cloud.
    """
    n = subject.samples_fn(batch)
    done: dict[str, None] = {}
    failures: dict[str, str] = {}
    with borrowed(model, subject.settings.seed):
        while True:
            held = _HeldClouds(n, done, positions, subject.settings.reduction)
            for start, stop in (*_parts(n, subject.batch_size or n), (0, FEWEST_SAMPLES)):
                forward_pass = ForwardPass(layers, stop - start, held.visit(start, stop))
                with layers.hook(forward_pass.output):
                    subject.forward_fn(model, part_of(batch, n, start, stop))
                failures |= {name: why for name, why in forward_pass.failures().items() if name not in done}
            for name, cloud, reason in held.completed():
                done[name] = None
                if reason:
                    failures[name] = reason
                on_cloud(name, None if name in failures else cloud)
            if not held.has_left_some:
                return failures


class _HeldClouds:
    """The clouds that are put together in one run of all parts, and what three samples alone look like.

    Attributes:
        has_left_some: Whether layers were left for another run.
    """

    def __init__(self, n: int, done: dict[str, None], positions: Positions, reduction: Reduction) -> None:
        self.has_left_some = False
        self._n, self._done, self._positions, self._reduction = n, done, positions, reduction
        self._clouds: dict[str, Tensor] = {}
        self._reasons: dict[str, str] = {}
        self._filled: dict[str, int] = {}
        self._widened: set[str] = set()
        self._alone: dict[str, Tensor] = {}
        self._bytes = 0

    def visit(self, start: int, stop: int) -> Callable[[str, nn.Module, Representation], None]:
        """Return what takes the outputs of the samples from start to stop, or of the first three once more."""

        def take(name: str, module: nn.Module, representation: Representation) -> None:
            if name in self._done:
                return
            part = self._positions.part(start, stop)
            if self._reduction == "flatten" and part.tell_padding(representation.rows, representation.real):
                self._widened.add(name)
            try:
                cloud = layer_cloud(module, representation, self._reduction, part)
            except ValueError as error:
                self._reasons[name] = str(error)
                self._clouds.setdefault(name, representation.rows[:0])
                return
            if self._filled.get(name) == self._n:
                self._alone[name] = cloud.cpu()
            elif start == 0:
                self._hold(name, cloud, stop)
            elif name in self._clouds:
                self._fill(name, cloud, start, stop)

        return take

    def completed(self) -> Iterator[tuple[str, Tensor, str]]:
        """Iterate over the names, the clouds, and why a cloud is not one; each is freed when the next is asked for."""
        for name in list(self._clouds):
            cloud = self._clouds.pop(name)
            yield name, cloud, self._problem(name, cloud)

    def _hold(self, name: str, cloud: Tensor, stop: int) -> None:
        size = cloud[0].numel() * cloud.element_size() * self._n
        if self._clouds and self._bytes + size > HELD_BYTES:
            self.has_left_some = True
            return
        self._bytes += size
        self._clouds[name] = torch.empty(self._n, *cloud.shape[1:], dtype=cloud.dtype)
        self._fill(name, cloud, 0, stop)

    def _fill(self, name: str, cloud: Tensor, start: int, stop: int) -> None:
        whole = self._clouds[name]
        if name in self._widened:  # every part is padded to its own longest sample
            width = max(whole.shape[1], cloud.shape[1])
            whole, cloud = _with_zeros(whole, width), _with_zeros(cloud, width)
            self._clouds[name] = whole
        if cloud.shape[1:] == whole.shape[1:] and self._filled.get(name, 0) == start:
            whole[start:stop] = cloud
            self._filled[name] = stop

    def _problem(self, name: str, cloud: Tensor) -> str:
        if name in self._reasons:
            return self._reasons[name]
        if self._filled[name] < self._n or name not in self._alone:
            return "its outputs in the parts of the probe differ in shape; analyse it without `probe_batch_size`"
        alone, within = _with_zeros(self._alone[name], cloud.shape[1]).float(), cloud[:FEWEST_SAMPLES].float()
        spread = (within - within.mean(dim=0)).norm() + 1e-6 * within.norm()
        if (alone - within).norm() > _TOLERANCE * spread:
            return (
                "its output for a sample depends on the other samples of a batch, so that the probe cannot run in "
                "parts; analyse it without `probe_batch_size`"
            )
        return ""


def _with_zeros(cloud: Tensor, width: int) -> Tensor:
    return nn.functional.pad(cloud, (0, width - cloud.shape[1]))


def _parts(n: int, size: int) -> list[tuple[int, int]]:
    """Cut n samples into parts of at most this size whose sizes differ by at most one."""
    count = -(-n // size)
    return [(n * part // count, n * (part + 1) // count) for part in range(count)]
