"""Reading a probe is not noticed by the loader, and sees what the loader would give."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.loaders import (
    ROWS,
    Counted,
    CountingOrder,
    FileRows,
    KeepsIterator,
    OneClassAfterTheOther,
    OnePass,
    OnlyInWorkers,
    Pipe,
    Resumable,
    written,
)
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.probe_loader import is_readable

INDICES = TensorDataset(torch.arange(ROWS))


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_a_file_opened_at_the_first_read_gives_training_its_own_rows(
    tmp_path: Path, workers: int, context: Any
) -> None:
    loader = DataLoader(FileRows(written(tmp_path)), batch_size=8, num_workers=workers, multiprocessing_context=context)
    probe = take_probe(loader, 20)[0]
    assert len(probe[:, 0].unique()) == 20
    seen = torch.cat([rows for rows, _ in loader])
    assert torch.equal(seen[:, 0], torch.arange(float(ROWS)))
    assert (loader.dataset.file is None) == (workers > 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_counters_caches_and_generators_do_not_move(workers: int) -> None:
    def epochs(look: bool) -> Any:
        torch.manual_seed(0)
        data, order = Counted(), CountingOrder()
        fork = "fork" if workers else None  # torch cannot send the data's generator to a spawned worker
        loader = DataLoader(data, batch_size=8, sampler=order, num_workers=workers, multiprocessing_context=fork)
        if look:
            take_probe(loader, 20)
        return [list(loader), list(loader)], data.reads, data.cache, order.passes, torch.get_rng_state()

    torch.testing.assert_close(epochs(look=True), epochs(look=False), rtol=0, atol=0)


def test_a_stream_that_asks_for_its_worker_is_read_by_one() -> None:
    rows, _ = take_probe(DataLoader(OnlyInWorkers(), batch_size=8, num_workers=2), 20)
    assert torch.equal(rows[3], torch.randn(6, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("make", [
    lambda: KeepsIterator(INDICES), lambda: Resumable(INDICES), Pipe, lambda: DataLoader(OnePass()),
])  # fmt: skip
def test_what_cannot_be_read_without_a_trace_is_known(make: Any) -> None:
    assert not is_readable(make())
    assert is_readable(DataLoader(INDICES))


@pytest.mark.parametrize("sampler", [
    CountingOrder(),
    SubsetRandomSampler(range(16, 48)),
    DistributedSamplerWrapper(CountingOrder(), num_replicas=2, rank=1),
    DistributedSamplerWrapper(SubsetRandomSampler(range(16, 48)), num_replicas=4, rank=0),
])  # fmt: skip
def test_only_the_samplers_part_of_the_data_is_read_and_all_processes_of_it(sampler: Any) -> None:
    (indices,) = take_probe(DataLoader(INDICES, batch_size=4, sampler=sampler), 100)
    assert sorted(indices.tolist()) == list(range(16, 48))


@pytest.mark.parametrize("loader", [
    DataLoader(INDICES, batch_size=4, sampler=DistributedSampler(INDICES, num_replicas=3, rank=2)),
    DataLoader(INDICES, batch_sampler=BatchSampler(range(ROWS), 8, drop_last=True)),
    DataLoader(INDICES, sampler=BatchSampler(range(ROWS), 2, drop_last=False), batch_size=None),
    DataLoader(INDICES, batch_sampler=[[index, index + 1] for index in range(0, ROWS, 2)]),
])  # fmt: skip
def test_every_way_to_batch_gives_a_spread(loader: Any) -> None:
    (indices,) = take_probe(loader, 32)
    assert len(indices.unique()) == 32
    assert indices.min() < ROWS / 4
    assert indices.max() > 3 * ROWS / 4


def test_a_sample_drawn_twice_is_read_once() -> None:
    sampler = WeightedRandomSampler([1.0] * 8 + [0.0] * 56, 64, generator=torch.Generator().manual_seed(0))
    (indices,) = take_probe(DataLoader(INDICES, batch_size=4, sampler=sampler), 20)
    assert sorted(indices.tolist()) == list(range(8))


def test_a_folder_sorted_by_class_gives_all_classes_evenly_also_in_a_part_of_the_probe() -> None:
    _, labels = take_probe(DataLoader(OneClassAfterTheOther(), batch_size=8), 32)
    assert labels.bincount().tolist() == [16, 16]
    assert set(labels[:8].tolist()) == {0, 1}


def test_sequences_are_padded_over_the_whole_probe() -> None:
    sequences = [torch.full((index % 7 + 1, 2), float(index)) for index in range(40)]

    def padded(samples: list[Any]) -> Any:
        return torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)

    probe = take_probe(DataLoader(sequences, batch_size=2, collate_fn=padded), 40)
    assert probe.shape == (40, 7, 2)
