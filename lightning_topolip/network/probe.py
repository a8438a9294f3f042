"""The probe: the fixed samples that every analysis of a run looks at."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from lightning_topolip.network.batches import FEWEST_SAMPLES, move_batch, require_padded, samples_in
from lightning_topolip.network.joined_batches import cut, joined, shapes, with_columns
from lightning_topolip.randomness import kept_generators, kept_random_numbers


def take_probe(source: Any, size: int) -> Any:
    """Take the first samples of a loader or a batch without a trace in the loader.

    A `DataLoader` is read in this process, without its workers, from its own data set and sampler. Every random state
    is restored: the global ones, and the generators that loader, sampler and data set hold. So a shuffled loader yields
    a random but reproducible probe, and its later order does not change. Anything else that a data set or sampler
    counts, and the position of a one-pass stream, moves on; give a batch then. If there are several loaders (a list or
    a dictionary), the first one is used; a distributed loader is read as a whole, so that every process takes the same
    probe. Any other iterable is read from its start.

    Args:
        source: A `DataLoader`, several of them, an iterable of batches, or one batch: a tensor, or tuples, lists,
            mappings or data classes of tensors, samples first.
        size: Number of samples n, at least 3; fewer are taken if the source holds fewer.

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
    parts: list[Any] = []
    taken, fits = 0, True
    with kept_random_numbers(seed=0):
        for batch in _batches(source):
            require_padded(batch)
            part = with_columns(move_batch(batch, torch.device("cpu")))
            fits = not parts or shapes(parts[0]) == shapes(part)
            if not fits:
                break
            parts.append(part)
            taken += samples_in(batch)
            if taken >= size:
                break
    probe = cut(joined(parts), size) if parts else None
    n = samples_in(probe) if parts else 0
    if n < FEWEST_SAMPLES:
        raise ValueError(
            f"Argument `probe` must hold at least {FEWEST_SAMPLES} samples, got {n}; "
            "give a loader or a batch with more, for example probe=train_loader."
        )
    if not fits:
        warnings.warn(
            f"The probe has {n} samples, not {size}: the next batch has other shapes, such as sequences padded to "
            "another length. For more, give batches of one shape, for example padded to a fixed length.",
            stacklevel=2,
        )
    return probe


def _batches(source: Any) -> Iterator[Any]:
    if isinstance(source, DataLoader):
        return _batches_of_loader(source)
    if isinstance(source, Mapping) and source and all(isinstance(value, Iterable) for value in source.values()):
        first = next(iter(source.values()))
        return _batches(first) if isinstance(first, DataLoader) else iter([source])
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], DataLoader):
        return _batches(source[0])
    if isinstance(source, list) and source and not isinstance(source[0], Tensor) and samples_in(source[0]):
        return iter(source)
    if samples_in(source):
        return iter([source])
    if isinstance(source, Iterable) and not isinstance(source, (str, bytes)):
        return iter(source)
    raise TypeError(
        "Argument `probe` must be a DataLoader, a batch of tensors or an iterable of batches, "
        f"got {type(source).__name__}."
    )


def _batches_of_loader(loader: DataLoader[Any]) -> Iterator[Any]:
    with kept_generators(loader):
        yield from _in_this_process(loader)


def _in_this_process(loader: DataLoader[Any]) -> Iterable[Any]:
    if type(loader).__iter__ is not DataLoader.__iter__:
        return loader
    streamed = isinstance(loader.dataset, IterableDataset)
    order = {"batch_size": loader.batch_size} if streamed else _order(loader)
    return DataLoader(loader.dataset, collate_fn=loader.collate_fn, num_workers=0, **order)


def _order(loader: DataLoader[Any]) -> dict[str, Any]:
    if isinstance(loader.sampler, DistributedSampler):
        return {"batch_size": loader.batch_size, "shuffle": loader.sampler.shuffle}
    if loader.batch_sampler is not None:
        return {"batch_sampler": loader.batch_sampler}
    return {"sampler": loader.sampler, "batch_size": None}
