"""The probe: the fixed samples that every analysis of a run looks at, and how a model is called with them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from lightning_topolip.network.batches import FEWEST_SAMPLES, move_batch, require_padded, samples_in
from lightning_topolip.randomness import kept_generators, kept_random_numbers


def take_probe(source: Any, size: int) -> Any:
    """Take the first samples of a loader or a batch, leaving the loader as if nobody had looked.

    A `DataLoader` is read in this process, without its workers, from its own data set and sampler. Every random state
    is put back: the global ones, and the generators that loader, sampler and data set hold. So a shuffled loader yields
    a random but reproducible probe, and its later order does not change. What else a data set or sampler counts for
    itself, and the position of a one-pass stream, moves on: give a batch then. Of several loaders (a list or a
    dictionary) the first is taken; of a distributed loader the whole data, so that every process takes the same. Any
    other iterable is read from its start.

    Args:
        source: A `DataLoader`, several of them, an iterable of batches, or one batch: a tensor, or tuples, lists,
            mappings or data classes of tensors, samples first.
        size: Number of samples n, at least 3; fewer are taken where the source holds fewer.

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
            part = _with_columns(move_batch(batch, torch.device("cpu")))
            fits = not parts or _shapes(parts[0]) == _shapes(part)
            if not fits:
                break
            parts.append(part)
            taken += samples_in(batch)
            if taken >= size:
                break
    probe = _first(_joined(parts), size) if parts else None
    found = samples_in(probe) if parts else 0
    if found < FEWEST_SAMPLES:
        raise ValueError(
            f"Argument `probe` must hold at least {FEWEST_SAMPLES} samples, got {found}; "
            "give a loader or a batch with more, for example probe=train_loader."
        )
    if not fits:
        warnings.warn(
            f"The probe has {found} samples, not {size}: the next batch has other shapes, such as sequences padded to "
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
        yield from _fresh(loader)


def _fresh(loader: DataLoader[Any]) -> Iterable[Any]:
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


class _Column(tuple[Any, ...]):
    """Values that are no tensors, one a sample."""

    __slots__ = ()


def _with_columns(batch: Any) -> Any:
    """Find the lists that hold one value a sample and no tensors, such as texts or names of files."""
    n = samples_in(batch)

    def column(values: Any) -> Any:
        if isinstance(values, _Column) or (len(values) == n and not samples_in(values)):
            return _Column(values)
        parts = [apply_to_collection(value, (list, tuple), column) for value in values]
        return type(values)(*parts) if hasattr(values, "_fields") else type(values)(parts)

    return apply_to_collection(batch, (list, tuple), column)


def _rows(batch: Any) -> list[Tensor | _Column]:
    found: list[Tensor | _Column] = []
    apply_to_collection(batch, (Tensor, _Column), found.append)
    return found


def _length(rows: Tensor | _Column) -> int:
    return len(rows) if isinstance(rows, _Column) or rows.ndim else -1


def _shapes(batch: Any) -> list[torch.Size | None]:
    return [rows.shape[1:] if isinstance(rows, Tensor) else None for rows in _rows(batch)]


def _joined(parts: list[Any]) -> Any:
    """Join what has one row a sample; what has not is that of the first part."""
    counts = [samples_in(part) for part in parts]
    joined = [
        _concatenated(rows) if [_length(row) for row in rows] == counts else rows[0]
        for rows in zip(*map(_rows, parts), strict=True)
    ]
    following = iter(joined)
    return apply_to_collection(parts[0], (Tensor, _Column), lambda _: next(following))


def _concatenated(rows: Sequence[Tensor | _Column]) -> Tensor | _Column:
    tensors = [row for row in rows if isinstance(row, Tensor)]
    return torch.cat(tensors) if tensors else _Column(itertools.chain.from_iterable(rows))


def _first(batch: Any, size: int) -> Any:
    """Cut what has one row a sample; columns become lists again."""
    n = samples_in(batch)

    def cut(rows: Tensor | _Column) -> Any:
        if isinstance(rows, _Column):
            return list(rows[:size])
        return rows[:size].clone() if _length(rows) == n else rows

    return apply_to_collection(batch, (Tensor, _Column), cut)
