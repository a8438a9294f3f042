"""Measure how much persistence in a thread or in a process slows down a training step.

    python benchmarks/thread_or_process.py              half a minute

A small network is trained on one thread, alone and while 256 random points are analysed again and again. As long as an
analysis holds the interpreter's lock, steps wait for it, whatever the number of cores.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from lightning_topolip import distance_matrix, persistence_diagrams
from lightning_topolip.models import ResNetClassifier
from lightning_topolip.trainer.workers import Workers

POINTS, SECONDS = 256, 10.0
COLUMNS = ("median", "slowest of 100", "slowest")


@contextmanager
def alone(matrix: np.ndarray) -> Iterator[None]:
    """Run nothing besides the training."""
    yield


@contextmanager
def thread(matrix: np.ndarray) -> Iterator[None]:
    """Compute one diagram after the other in a thread of this process."""
    stop = threading.Event()

    def analyse() -> None:
        while not stop.is_set():
            persistence_diagrams(matrix)

    worker = threading.Thread(target=analyse)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


@contextmanager
def process(matrix: np.ndarray) -> Iterator[None]:
    """Do the same in another process, as with `background=True`."""
    workers = Workers(1, niceness=19)
    workers.submit(persistence_diagrams, matrix).result()
    for _ in range(10_000):
        workers.submit(persistence_diagrams, matrix)
    try:
        yield
    finally:
        workers.stop()


def step_seconds(load: Callable[..., object], matrix: np.ndarray) -> np.ndarray:
    """Seconds of every training step under a load."""
    torch.manual_seed(0)
    model = ResNetClassifier(size="micro")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, labels = torch.rand(16, 3, 32, 32), torch.arange(16) % 10
    marks = [time.perf_counter()]
    with load(matrix):
        while marks[-1] - marks[0] < SECONDS:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            marks.append(time.perf_counter())
    return np.array([end - begin for begin, end in itertools.pairwise(marks)])[1:]


def main() -> None:
    """Measure, print the table, write the numbers."""
    torch.set_num_threads(1)
    matrix = distance_matrix(torch.randn(POINTS, 128, generator=torch.Generator().manual_seed(0))).numpy()
    table = Table(title=f"Milliseconds per training step during persistence of {POINTS} points, {os.cpu_count()} cores")
    for column in ("load", *COLUMNS):
        table.add_column(column, justify="right")
    rows = {}
    for load in (alone, thread, process):
        quantiles = np.quantile(1000 * step_seconds(load, matrix), (0.5, 0.99, 1.0)).tolist()
        rows[load.__name__] = dict(zip(COLUMNS, quantiles, strict=True))
        table.add_row(load.__name__, *(f"{value:.1f}" for value in quantiles))
    Console(width=100).print(table)
    about = {"cores": os.cpu_count(), "python": platform.python_version(), "torch": version("torch")}
    output = Path(__file__).with_suffix(".json")
    output.write_text(json.dumps({"about": about, "milliseconds of a step": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
