"""The loader that reads the probe: ours, with the data set, collation and workers' setting of another loader."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Hashable, Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from lightning_topolip.network.isolation import isolated, live_iterators

_LONGEST_ORDER = 10_000_000


def is_readable(source: Any) -> bool:
    """Whether a loader can be read by a loader of ours without a trace.

    Not if its class has a way of its own to iterate, which may change the batches or move iterators that training uses,
    nor if it streams, in this process, from an iterator that reading would move.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> is_readable(DataLoader(TensorDataset(torch.zeros(5, 2))))
        True
    """
    kind = type(source)
    if not isinstance(source, DataLoader):
        return False
    if kind.__iter__ is not DataLoader.__iter__ or kind._get_iterator is not DataLoader._get_iterator:
        return False
    return not isinstance(source.dataset, IterableDataset) or _workers(source) > 0 or _can_be_copied(source.dataset)


def probe_batches(loader: DataLoader[Any], size: int) -> Iterator[Any]:
    """Read ``size`` samples of a readable loader as it would, and leave it and what it holds as they are.

    A data set with indices is read at a spread of ``size`` of the indices that the loader's sampler yields on all
    processes together, in one batch; a stream from its start, batch by batch. One worker process of ours reads if the
    loader has workers; else this process reads copies of the Python objects in the loader, see `isolated`.

    Args:
        loader: A loader for which `is_readable` holds.
        size: Number of samples.

    Yields:
        Batches, collated by the loader's own ``collate_fn``; random numbers come from fixed seeds.
    """
    workers = _workers(loader)
    dataset, sampler, batch_sampler, collate = isolated(
        (loader.dataset, loader.sampler, loader.batch_sampler, loader.collate_fn)
    )
    if isinstance(loader.dataset, IterableDataset):
        order: dict[str, Any] = {"batch_size": loader.batch_size}
    elif batch_sampler is None:
        order = {"batch_size": None, "sampler": _spread(_entries(sampler, dataset), size)}
    else:
        order = {"batch_sampler": [_spread(_batched_entries(batch_sampler, dataset), size)]}
    yield from DataLoader(
        loader.dataset if workers else dataset,
        collate_fn=loader.collate_fn if workers else collate,
        num_workers=workers,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context if workers else None,
        timeout=loader.timeout if workers else 0,
        generator=torch.Generator().manual_seed(0),
        **order,
    )


def _can_be_copied(stream: Any) -> bool:
    return isolated(stream) is not stream and not live_iterators(stream)


def _workers(loader: DataLoader[Any]) -> int:
    """One if the loader has workers; a daemonic process cannot start any."""
    return int(loader.num_workers > 0 and not multiprocessing.current_process().daemon)


def _batched_entries(batch_sampler: Any, dataset: Any) -> Sequence[Any]:
    if type(batch_sampler) is BatchSampler:
        return _entries(batch_sampler.sampler, dataset)
    return _listed(itertools.chain.from_iterable(batch_sampler), dataset)


def _entries(sampler: Any, dataset: Any) -> Sequence[Any]:
    """All that a sampler yields, of a distributed one on all processes, each once."""
    if type(sampler) in (SequentialSampler, RandomSampler):
        return range(len(sampler.data_source))
    if isinstance(sampler, DistributedSampler):
        sampler.num_replicas, sampler.rank = 1, 0
        sampler.num_samples = sampler.total_size = len(sampler.dataset)  # type: ignore[arg-type]
    return _listed(sampler, dataset)


def _listed(order: Iterable[Any], dataset: Any) -> list[Any]:
    """An order as a list without repetitions; an endless one is cut at the length of the data set."""
    longest = len(dataset) if isinstance(dataset, Sized) else _LONGEST_ORDER
    entries = list(itertools.islice(order, longest))
    return list(dict.fromkeys(entries)) if all(isinstance(entry, Hashable) for entry in entries) else entries


def _spread(entries: Sequence[Any], size: int) -> list[Any]:
    """One entry at random from each of ``size`` equal parts, in random order, so that the first ones are spread too."""
    generator, count = np.random.default_rng(0), len(entries)
    taken = min(size, count)
    bounds = np.arange(taken + 1) * count // max(taken, 1)
    places = generator.integers(bounds[:-1], bounds[1:]) if taken else bounds[:0]
    return [entries[place] for place in generator.permutation(places).tolist()]
