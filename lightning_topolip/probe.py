"""The probe: the fixed samples that every analysis of a run looks at, and how a model is called with them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection, apply_to_collections
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from lightning_topolip.randomness import kept_generators, kept_random_numbers

FEWEST_SAMPLES = 3


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
    taken = 0
    with kept_random_numbers(seed=0):
        for batch in _batches(source):
            parts.append(move_batch(batch, torch.device("cpu")))
            taken += samples_in(batch)
            if taken >= size or (len(parts) > 1 and not _joinable(parts[0], parts[-1])):
                break
    if len(parts) > 1 and not _joinable(parts[0], parts[-1]):
        parts.pop()
    probe = _first(_joined(parts), size) if parts else None
    found = samples_in(probe) if parts else 0
    if found < FEWEST_SAMPLES:
        raise ValueError(
            f"Argument `probe` must hold at least {FEWEST_SAMPLES} samples, got {found}; "
            "give a loader or a batch with more, for example probe=train_loader."
        )
    return probe


def samples_in(batch: Any) -> int:
    """Count the samples of a batch: the length of its first tensor that has rows, 0 where there is none.

    Args:
        batch: A tensor or any nesting of tensors.

    Returns:
        The number n.

    Example:
        >>> import torch
        >>> samples_in({"pixels": torch.zeros(5, 3), "labels": torch.zeros(5)})
        5
    """
    sizes: list[int] = []
    apply_to_collection(batch, Tensor, lambda tensor: sizes.append(len(tensor)) if tensor.ndim else None)
    return sizes[0] if sizes else 0


def move_batch(batch: Any, device: torch.device) -> Any:
    """Copy every tensor of a batch to a device.

    Args:
        batch: A tensor or any nesting of tensors.
        device: Where to.

    Returns:
        The same structure with tensors of its own, so that a forward that works in place spoils nothing.
    """
    return apply_to_collection(batch, Tensor, lambda tensor: tensor.detach().to(device, copy=True))


def run_model(model: nn.Module, batch: Any) -> Any:
    """Call a model with what its ``forward`` takes of a batch.

    Args:
        model: The module to call.
        batch: The batch.

    Returns:
        What the model returns.

    Example:
        >>> import torch
        >>> run_model(torch.nn.Linear(4, 2), (torch.zeros(3, 4), torch.zeros(3))).shape
        torch.Size([3, 2])
    """
    inputs = model_inputs(model, batch)
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


def model_inputs(model: nn.Module, batch: Any) -> tuple[Any, ...] | dict[str, Any]:
    """Select what a model's ``forward`` takes of a batch, as most training steps do.

    Args:
        model: The module.
        batch: The batch.

    Returns:
        Of a mapping the entries that ``forward`` names (labels and other extras stay out); where it names none, all of
        them for a ``forward(**inputs)``, else the mapping as the only argument. Of a tuple or list the first elements,
        as many as ``forward`` requires, so of ``(images, labels)`` the images. Anything else as the only argument.
    """
    parameters = inspect.signature(model.forward).parameters
    if isinstance(batch, Mapping):
        known = {name: value for name, value in batch.items() if name in parameters}
        takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
        return known or (dict(batch) if takes_any else (batch,))
    if isinstance(batch, (tuple, list)):
        required = [p for p in parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
        return tuple(batch[: max(len(required), 1)])
    return (batch,)


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


def _joinable(first: Any, second: Any) -> bool:
    shapes: list[list[torch.Size]] = [[], []]
    for batch, found in zip((first, second), shapes, strict=True):
        apply_to_collection(batch, Tensor, lambda tensor, found=found: found.append(tensor.shape[1:]))
    return shapes[0] == shapes[1]


def _joined(parts: list[Any]) -> Any:
    joined = parts[0]
    for part in parts[1:]:
        joined = apply_to_collections(joined, part, Tensor, _concatenated)
    return joined


def _concatenated(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second]) if first.ndim else first


def _first(batch: Any, size: int) -> Any:
    return apply_to_collection(batch, Tensor, lambda tensor: tensor[:size].clone() if tensor.ndim else tensor)
