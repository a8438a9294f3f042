"""The probe: the fixed samples that every analysis of a run looks at."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_topolip.network.batches import FEWEST_SAMPLES, move_batch, require_padded
from lightning_topolip.network.joined_batches import cut, joined, shapes, with_columns
from lightning_topolip.network.nesting import holds_names
from lightning_topolip.network.probe_loader import is_readable, probe_batches
from lightning_topolip.network.samples import are_batches, samples_in
from lightning_topolip.network.subject import SamplesFn
from lightning_topolip.randomness import kept_random_numbers

_LONGEST_SEARCH = 8
_INDICES = frozenset({"cu_seqlens", "edge_index", "ptr"})


def take_probe(source: Any, size: int, samples_fn: SamplesFn = samples_in) -> Any:
    """Take a probe from a loader or a batch, without a trace in the loader.

    From a `DataLoader` over a data set with indices it is a seeded spread over all that the sampler yields, so that a
    folder sorted by class gives every class; it is the same whether or not the loader shuffles, and collated at once,
    so that sequences are padded to one length. From a stream it is the start. The loader, its data set and its sampler
    stay as they are, see `probe_batches`. If there are several loaders (a list or a dictionary), the first one is
    used. A loader whose class iterates in its own way, and any other iterable, is iterated over from its start.

    Args:
        source: A `DataLoader`, several of them, an iterable of batches, or one batch: a tensor, or tuples, lists,
            mappings, data classes or plain objects of tensors.
        size: Number of samples n, at least 3; fewer are taken if the source holds fewer.
        samples_fn: Counts the samples of a batch, see `samples_in`.

    Returns:
        One batch of the source's own structure, on the CPU, detached copies.

    Raises:
        ValueError: If the source holds fewer than 3 samples.
        TypeError: If the source is neither a loader nor a batch.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> loader = DataLoader(TensorDataset(torch.randn(50, 8), torch.arange(50)), batch_size=16)
        >>> images, labels = take_probe(loader, 20)
        >>> images.shape, labels.shape
        (torch.Size([20, 8]), torch.Size([20]))
    """
    collected = CollectedBatches(size, samples_fn)
    with kept_random_numbers(seed=0):
        batches = _batches(source, size, samples_fn)
        for batch in batches:
            collected.add(batch)
            if collected.is_complete:
                break
        if isinstance(batches, Generator):
            batches.close()
    return collected.probe()


def first_loader(source: Any) -> Any:
    """Return the first of several loaders in a list or mapping; anything else is returned as it is."""
    if isinstance(source, Mapping) and source and all(isinstance(value, Iterable) for value in source.values()):
        first = next(iter(source.values()))
        return first if isinstance(first, DataLoader) else source
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], DataLoader):
        return source[0]
    return source


@dataclass
class CollectedBatches:
    """Batches from which a probe is put together: those of one shape that hold the most samples.

    Attributes:
        size: Number of samples n that is wanted.
        samples_fn: Counts the samples of a batch.
    """

    size: int
    samples_fn: SamplesFn = samples_in
    _groups: dict[Any, list[tuple[Any, int]]] = field(default_factory=dict)

    def add(self, batch: Any) -> None:
        """Copy a batch to the CPU and keep it.

        Raises:
            ValueError: If it holds packed sequences.
        """
        require_padded(batch)
        samples = self.samples_fn(batch)
        part = with_columns(move_batch(batch, torch.device("cpu")), samples)
        self._groups.setdefault(shapes(part), []).append((part, samples))

    @property
    def is_complete(self) -> bool:
        """Whether there are enough samples of one shape, or so many of all shapes that more would hardly help."""
        return self._largest >= self.size or self._total >= _LONGEST_SEARCH * self.size

    def probe(self) -> Any:
        """Join the batches to one with ``size`` samples, fewer with a warning if their shapes are too different.

        Raises:
            ValueError: If there are fewer than 3 samples of one shape.
        """
        group = max(self._groups.values(), key=_samples, default=[])
        n = min(_samples(group), self.size)
        if n < FEWEST_SAMPLES:
            raise ValueError(
                f"Argument `probe` must hold at least {FEWEST_SAMPLES} samples of one shape, got {n}; give a loader or "
                "a batch with more, for example probe=train_loader, or samples_fn=lambda batch: ..., which counts the "
                "samples of a batch."
            )
        if n < min(self.size, self._total):
            warnings.warn(
                f"The probe has {n} samples, not {min(self.size, self._total)}: other batches have other shapes, such "
                "as sequences padded to another length. For more, give batches of one shape, for example padded to a "
                "fixed length.",
                stacklevel=3,
            )
        parts, counts = zip(*group, strict=True)
        if sum(counts) > self.size and holds_names(parts[0], _INDICES):
            raise ValueError(
                f"Argument `probe` must be a whole batch if other tensors index its rows, as {sorted(_INDICES)} do, "
                f"got {sum(counts)} rows for {self.size} samples; give a batch and samples_fn=lambda batch: ..., which "
                "counts its samples."
            )
        return cut(joined(parts, counts), sum(counts), self.size)

    @property
    def _largest(self) -> int:
        return max(map(_samples, self._groups.values()), default=0)

    @property
    def _total(self) -> int:
        return sum(map(_samples, self._groups.values()))


def _samples(group: list[tuple[Any, int]]) -> int:
    return sum(samples for _, samples in group)


def _batches(source: Any, size: int, samples_fn: SamplesFn) -> Iterator[Any]:
    source = first_loader(source)
    if is_readable(source):
        return probe_batches(source, size)
    if are_batches(source) or isinstance(source, DataLoader):
        return iter(source)
    if _is_iterable_object(source) and not hasattr(source, "to"):
        return iter(source)
    if samples_fn(source):
        return iter([source])
    if isinstance(source, Iterable) and not isinstance(source, (str, bytes)):
        return iter(source)
    raise TypeError(
        "Argument `probe` must be a DataLoader, a batch of tensors or an iterable of batches, "
        f"got {type(source).__name__}."
    )


def _is_iterable_object(source: Any) -> bool:
    return isinstance(source, Iterable) and not isinstance(source, (Tensor, list, tuple, Mapping, str, bytes))
