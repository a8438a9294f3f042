"""What cannot be put back is noticed before it is read."""

import io
import itertools
import multiprocessing
import queue
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_topolip.network.hazards import hazards_in

NONE = (False, False, False)


@pytest.mark.parametrize(
    "live", [iter([1]), (x for x in "a"), itertools.count(), queue.Queue(), queue.SimpleQueue(), socket.socket()]
)
def test_iterators_and_queues_move(live: Any) -> None:
    assert hazards_in({"inner": [SimpleNamespace(held=live)] * 100}).moves
    assert hazards_in(lambda: live).moves


@pytest.mark.parametrize(
    "shared",
    [
        multiprocessing.Value("i", 0),
        multiprocessing.Array("i", 3),
        multiprocessing.RawArray("i", 3),
        multiprocessing.SimpleQueue(),
        multiprocessing.Pipe()[0],
    ],
)
def test_memory_of_several_processes_is_shared(shared: Any) -> None:
    assert hazards_in([shared]).is_shared


def test_open_files_are_noticed(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert hazards_in([file]) == (False, False, True)
    assert hazards_in([file]) == NONE


@pytest.mark.parametrize("harmless", [1, "text", torch.zeros(2), torch.zeros(2).share_memory_(), range(3), [{}], print])
def test_everything_else_is_harmless(harmless: Any) -> None:
    assert hazards_in([harmless]) == NONE


def test_closed_memory_files_are_harmless() -> None:
    file = io.BytesIO()
    file.close()
    assert hazards_in([file]) == NONE
