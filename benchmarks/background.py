"""Measure how much persistence in a thread or in a process slows down a training step.

    python benchmarks/background.py                     a minute; needs a free core beside the one that trains
    python benchmarks/background.py --short             writes nothing

A small network is trained on one thread, alone and while 256 random points are analysed again and again, by RedZeD in a
thread, and by giotto-tda's engine in a process and in a thread. While an engine holds the interpreter's lock, steps
wait for it, whatever the number of cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from analysis import HAS_GIOTTO, versions
from rich.console import Console
from rich.table import Table

from lightning_topolip import distance_matrix, persistence_diagrams
from lightning_topolip.models import ResNetClassifier
from lightning_topolip.topology.engines import Engine
from lightning_topolip.trainer.processes import Processes
from lightning_topolip.trainer.threads import Threads

POINTS, SECONDS = 256, 10.0
COLUMNS = ("median", "slowest of 100", "slowest")


@contextmanager
def thread(matrix: np.ndarray, engine: Engine) -> Iterator[None]:
    """Compute one diagram after the other in a thread of this process, as `background=True` does for RedZeD."""
    stop, workers = threading.Event(), Threads(1, niceness=19)

    def analyse() -> None:
        while not stop.is_set():
            persistence_diagrams(matrix, engine=engine)

    job = workers.submit(analyse)
    try:
        yield
    finally:
        stop.set()
        job.result()
        workers.stop()


@contextmanager
def process(matrix: np.ndarray, engine: Engine) -> Iterator[None]:
    """Do the same in another process, as `background=True` does for an engine that holds the lock."""
    workers = Processes(1, engine, niceness=19)
    workers.submit(persistence_diagrams, matrix, engine=engine).result()
    for _ in range(10_000):
        workers.submit(persistence_diagrams, matrix, engine=engine)
    try:
        yield
    finally:
        workers.stop()


LOADS: dict[str, Callable[[np.ndarray], AbstractContextManager[None]]] = {
    "none": lambda matrix: nullcontext(),
    "RedZeD in a thread": lambda matrix: thread(matrix, "redzed"),
    "giotto-tda's engine in a process": lambda matrix: process(matrix, "giotto"),
    "giotto-tda's engine in a thread": lambda matrix: thread(matrix, "giotto"),
}


def step_seconds(load: AbstractContextManager[None], seconds: float) -> np.ndarray:
    """Seconds of every training step under a load."""
    torch.manual_seed(0)
    model = ResNetClassifier(size="micro")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, labels = torch.rand(16, 3, 32, 32), torch.arange(16) % 10
    marks = [time.perf_counter()]
    with load:
        while marks[-1] - marks[0] < seconds:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            marks.append(time.perf_counter())
    return np.array([end - begin for begin, end in itertools.pairwise(marks)])[1:]


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    matrix = distance_matrix(torch.randn(POINTS, 128, generator=torch.Generator().manual_seed(0))).numpy()
    table = Table(title=f"Milliseconds per training step during persistence of {POINTS} points, {os.cpu_count()} cores")
    for column in ("load", *COLUMNS):
        table.add_column(column, justify="right")
    rows = {}
    for name, load in LOADS.items():
        if "giotto" in name and not HAS_GIOTTO:
            continue
        quantiles = np.quantile(1000 * step_seconds(load(matrix), SECONDS / (1 + 4 * options.short)), (0.5, 0.99, 1.0))
        rows[name] = dict(zip(COLUMNS, quantiles.tolist(), strict=True))
        table.add_row(name, *(f"{value:.1f}" for value in quantiles))
    Console(width=100).print(table)
    if options.short:
        return
    packages = ("torch", "redzed-tda", "giotto-ph")
    about = {"cores": os.cpu_count(), "python": platform.python_version(), "load of a minute": os.getloadavg()[0]}
    about |= versions(packages)
    output = Path(__file__).with_suffix(".json")
    output.write_text(json.dumps({"about": about, "milliseconds of a step": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
