"""Time a program up to the end of its first analysis, before and after the distances are compiled.

    python benchmarks/startup.py                        three rounds: a minute or two
    python benchmarks/startup.py --short                one round, writes nothing
    taskset -c 1 python benchmarks/startup.py           on one core

Each round gives numba an empty cache folder and runs the same program twice, each time in a fresh process: the first
one compiles, the second one loads the compiled functions. The program imports the package, builds a residual network of
12 blocks, loads digits, and analyzes the network with the defaults of `analyze`. The norms of the blocks start at scale
1: with timm's 0 every block is the identity, and most distances are those of equal diagrams. An earlier process, which
does not count, has read all files before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import about

SAMPLES, LATER = 256, 5
PACKAGES = ("torch", "lightning", "timm", "numba", "llvmlite", "numpy", "redzed-tda")
PARTS = ("import analyze", "network and data", "first analysis", "later analysis")


def program() -> dict[str, float]:
    """Seconds of each part of the program, in this process."""
    marks = [time.perf_counter()]
    from lightning_topolip import analyze

    marks.append(time.perf_counter())
    import torch

    from lightning_topolip.data import DigitsDataModule
    from lightning_topolip.models import ResNetClassifier
    from lightning_topolip.network.probe import take_probe

    torch.manual_seed(0)
    model = ResNetClassifier(size="micro", blocks=(3, 3, 3, 3))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    data = DigitsDataModule(batch_size=SAMPLES)
    data.setup("fit")
    images, _ = take_probe(data.train_dataloader(), SAMPLES)
    marks.append(time.perf_counter())
    for _ in range(1 + LATER):
        analyze(model, images)
        marks.append(time.perf_counter())
    lengths = [end - begin for begin, end in itertools.pairwise(marks)]
    return dict(zip(PARTS, (*lengths[:3], statistics.median(lengths[3:])), strict=True))


def fresh_process(cache: str) -> dict[str, float]:
    """Run the program in a new process, with this folder as numba's cache."""
    command = [sys.executable, str(Path(__file__).resolve()), "--program"]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"NUMBA_CACHE_DIR": cache}
    )
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


def show(medians: dict[str, dict[str, float]]) -> None:
    """Print the table and compare with the limits."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Seconds; a residual network of 12 blocks, {SAMPLES} digits")
    for column in ("process", *PARTS):
        table.add_column(column, justify="right")
    for name, row in medians.items():
        table.add_row(name, *(f"{row[part]:.2f}" for part in PARTS))
    ready = medians["first"]["import analyze"] + medians["first"]["first analysis"]
    extra = medians["second"]["first analysis"] - medians["second"]["later analysis"]
    console = Console(width=120)
    console.print(table)
    console.print(f"First process, import and first analysis: {ready:.1f} s (limit: 10 s)")
    console.print(f"Second process, first analysis minus a later one: {extra:.1f} s (limit: 2 s)")


def main() -> None:
    """Run the program in fresh processes, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="one round, prints only")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("startup.json"))
    parser.add_argument("--program", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.program:
        sys.stdout.write(json.dumps(program()))
        return
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        fresh_process(folder)
    for _ in range(1 if options.short else options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append({name: fresh_process(folder) for name in ("first", "second")})
    medians = {
        name: {part: statistics.median(seconds[name][part] for seconds in rounds) for part in PARTS}
        for name in rounds[0]
    }
    show(medians)
    if not options.short:
        results = {"about": about(*PACKAGES), "medians": medians, "rounds": rounds}
        options.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
