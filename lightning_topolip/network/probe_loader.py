"""The loader that reads the probe: ours, with the data set, collation and workers' setting of another loader."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    IterDataPipe,
    RandomSampler,
    SequentialSampler,
)

from lightning_topolip.network.hazards import hazards_in
from lightning_topolip.network.restoration import restored

_LONGEST_ORDER = 100_000


def is_readable(source: Any) -> bool:
    """Whether a loader can be read by a loader of ours without a trace.

    Not if its class has a way of its own to iterate, which may change the batches or move iterators that training uses,
    nor if something in it that we would move cannot be put back: an iterator, a queue, memory that processes share, or
    the position of a file that a stream has open.

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
    order = hazards_in(source.sampler, source.batch_sampler)
    data = hazards_in(source.dataset, source.collate_fn, source.worker_init_fn)
    if order.moves or order.is_shared or data.is_shared or isinstance(source.dataset, IterDataPipe):
        return False
    if isinstance(source.dataset, IterableDataset) and data.is_open:
        return False
    return not data.moves or _workers(source) > 0


def probe_batches(loader: DataLoader[Any], size: int) -> Iterator[Any]:
    """Read ``size`` samples of a readable loader as it would, and leave it and what it holds as they are.

    A data set with indices is read at a spread of ``size`` of the indices that the loader's sampler yields on all
    processes together, in one batch, or, if they cannot be collated together, in batches of the loader's size; batches
    of a batch sampler of one's own stay together. A stream is read from its start, batch by batch. One worker process
    of ours reads if the loader has workers; else this process does, and puts back what changed, see `restored`.

    Args:
        loader: A loader for which `is_readable` holds.
        size: Number of samples.

    Yields:
        Batches, collated by the loader's own ``collate_fn``; random numbers come from fixed seeds.
    """
    with restored(loader.dataset, loader.sampler, loader.batch_sampler, loader.collate_fn):
        if isinstance(loader.dataset, IterableDataset):
            yield from _ours(loader, batch_size=loader.batch_size)
        elif loader.batch_sampler is None:
            yield from _ours(loader, batch_size=None, sampler=_spread(_entries(loader.sampler, loader.dataset), size))
        elif type(loader.batch_sampler) is not BatchSampler:
            batches = _listed(loader.batch_sampler, loader.dataset)
            yield from _ours(loader, batch_sampler=_spread(batches, size))
        else:
            entries = _spread(_entries(loader.batch_sampler.sampler, loader.dataset), size)
            yield from _collated_together(loader, entries)


def _collated_together(loader: DataLoader[Any], entries: list[Any]) -> Iterator[Any]:
    try:
        together = list(_ours(loader, batch_sampler=[entries]))
    except Exception:
        length = loader.batch_sampler.batch_size  # type: ignore[union-attr]
        yield from _ours(loader, batch_sampler=[entries[i : i + length] for i in range(0, len(entries), length)])
    else:
        yield from together


def _ours(loader: DataLoader[Any], **order: Any) -> DataLoader[Any]:
    workers = _workers(loader)
    return DataLoader(
        loader.dataset,
        collate_fn=loader.collate_fn,
        num_workers=workers,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context if workers else None,
        generator=torch.Generator().manual_seed(0),
        **order,
    )


def _workers(loader: DataLoader[Any]) -> int:
    """One if the loader has workers; a daemonic process cannot start any."""
    return int(loader.num_workers > 0 and not multiprocessing.current_process().daemon)


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
    try:
        return list(dict.fromkeys(entries))
    except TypeError:
        return entries


def _spread(entries: Sequence[Any], size: int) -> list[Any]:
    """One entry at random from each of ``size`` equal parts, in random order, so that the first ones are spread too."""
    generator, count = np.random.default_rng(0), len(entries)
    taken = min(size, count)
    bounds = np.arange(taken + 1) * count // max(taken, 1)
    places = generator.integers(bounds[:-1], bounds[1:]) if taken else bounds[:0]
    return [entries[place] for place in generator.permutation(places).tolist()]
