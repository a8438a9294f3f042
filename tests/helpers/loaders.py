"""Data sets and loaders that notice when somebody else reads them."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

ROWS, WIDTH = 64, 6


def written(folder: Path) -> Path:
    """Write a file whose k-th row is k, k, ..."""
    path = folder / "rows.bin"
    path.write_bytes(b"".join(struct.pack(f"{WIDTH}f", *[row] * WIDTH) for row in range(ROWS)))
    return path


class FileRows(Dataset[tuple[Tensor, int]]):
    """Opens its file at the first read, as the usual advice for HDF5, LMDB and zip has it; cannot be pickled then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: Any = None

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if self.file is None:
            self.file = self.path.open("rb", buffering=64)
        self.file.seek(4 * WIDTH * index)
        return torch.tensor(struct.unpack(f"{WIDTH}f", self.file.read(4 * WIDTH))), index % 2

    def __del__(self) -> None:
        if self.file is not None:
            self.file.close()


class Counted(Dataset[tuple[Tensor, int]]):
    """Counts its reads, caches them, draws from its own generator, and gives what it counted."""

    def __init__(self) -> None:
        self.reads = {"count": 0}
        self.cache: dict[int, int] = {}
        self.generator = torch.Generator().manual_seed(4)

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.reads["count"] += 1
        self.cache[index] = self.reads["count"]
        return torch.rand(WIDTH, generator=self.generator) + self.cache[index], index % 2


class OneClassAfterTheOther(Dataset[tuple[Tensor, int]]):
    """A folder sorted by class."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.randn(WIDTH, generator=torch.Generator().manual_seed(index)), index * 2 // ROWS


class OnlyInWorkers(IterableDataset[tuple[Tensor, int]]):
    """A stream that asks which worker it is in."""

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        worker = get_worker_info()
        assert worker is not None
        for row in range(worker.id, ROWS, worker.num_workers):
            yield torch.randn(WIDTH, generator=torch.Generator().manual_seed(row)), row % 2


class OnePass(IterableDataset[tuple[Tensor, int]]):
    """A stream that goes on where it was left."""

    def __init__(self) -> None:
        self.rows = iter(range(10_000))

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for row in self.rows:
            yield torch.randn(WIDTH, generator=torch.Generator().manual_seed(row)), row % 2


class CountingOrder(Sampler[int]):
    """Starts each pass one further, over a part of the data."""

    def __init__(self, part: range = range(16, 48)) -> None:
        self.part, self.passes = part, 0

    def __len__(self) -> int:
        return len(self.part)

    def __iter__(self) -> Iterator[int]:
        self.passes += 1
        turned = [*self.part[self.passes :], *self.part[: self.passes]]
        return iter(turned)


class KeepsIterator(DataLoader[Any]):
    """Starts its iterator once and goes on with it in every epoch, as timm's MultiEpochsDataLoader."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__["endless"] = self._forever()

    def _forever(self) -> Iterator[Any]:
        while True:
            yield from super().__iter__()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return (next(self.endless) for _ in range(len(self)))


class IteratesInItsOwnWay(DataLoader[Any]):
    """Gives what every loader gives."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        yield from super().__iter__()


class Resumable(DataLoader[Any]):
    """Knows how many batches it has given, as torchdata's StatefulDataLoader."""

    given = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            self.__dict__["given"] = self.given + 1
            yield [batch[0] + self.given, batch[1]]


class Pipe:
    """An iterable that is no DataLoader and has one iterator."""

    def __init__(self) -> None:
        self.batches = itertools.cycle(DataLoader(OneClassAfterTheOther(), batch_size=8))

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[Any]:
        return (next(self.batches) for _ in range(4))
