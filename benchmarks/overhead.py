"""Train with and without the callback in turn, and measure the time that the callback adds to an epoch.

    python benchmarks/overhead.py                   a ResNet-18 on 32 x 32 pixels: about 20 minutes on two cores
    python benchmarks/overhead.py --short           a micro network, writes nothing: a minute

Each round trains the same network on the same batches in every mode for a few epochs, and times the steps, the analyses
and the final wait for the background. The share refers to an epoch of CIFAR-10, 391 steps of 128 images. The analysis
before training is not included.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, TensorDataset

from lightning_topolip import TopoLipCallback
from lightning_topolip.models import ResNetClassifier

MODES: dict[str, dict[str, Any] | None] = {
    "without": None,
    "one thread": {"workers": 0},
    "two threads": {"workers": 2},
    "background": {"background": True},
}
BATCH, CIFAR10_STEPS = 128, 391


class Stopwatch(Callback):
    """Seconds from the first batch to the end of the fit."""

    def __init__(self) -> None:
        self.start = self.seconds = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start at the first epoch."""
        self.start = self.start or time.perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop after the analyses that are still running."""
        self.seconds = time.perf_counter() - self.start


def seconds_per_epoch(mode: str, size: str, steps: int, epochs: int) -> float:
    """Train once in a mode."""
    seed_everything(0, verbose=False)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(steps * BATCH, 3, 32, 32, generator=generator)
    loader = DataLoader(TensorDataset(images, torch.arange(len(images)) % 10), batch_size=BATCH, shuffle=True)
    options, watch = MODES[mode], Stopwatch()
    callbacks = [TopoLipCallback(on_error="raise", **options)] if options is not None else []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=CSVLogger(folder),
            callbacks=[*callbacks, watch],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(ResNetClassifier(size=size), loader)
    return watch.seconds / epochs


def main() -> None:
    """Train in turn, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small", help="of ResNetClassifier; small is a ResNet-18")
    parser.add_argument("--steps", type=int, default=15, help="an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("overhead.json"))
    options = parser.parse_args()
    if options.short:
        options.size, options.steps, options.epochs, options.rounds = "micro", 8, 2, 1
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seconds_per_epoch("one thread", "micro", 1, 1)
    rounds = [
        {mode: seconds_per_epoch(mode, options.size, options.steps, options.epochs) for mode in MODES}
        for _ in range(options.rounds)
    ]
    rows = [row_of(mode, rounds, options.steps) for mode in MODES]
    table = Table(title=f"ResNet {options.size}, {options.steps} steps per epoch, {options.rounds} rounds")
    for column in rows[0]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3g}" for value in row.values()))
    Console(width=120).print(table)
    if options.short:
        return
    results = {
        "command": f"python benchmarks/overhead.py --size {options.size} --steps {options.steps} "
        f"--epochs {options.epochs} --rounds {options.rounds}",
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("torch", "lightning", "redzed-tda", "numpy")},
        "rounds": rounds,
        "rows": rows,
    }
    options.output.write_text(json.dumps(results, indent=2) + "\n")


def row_of(mode: str, rounds: list[dict[str, float]], steps: int) -> dict[str, Any]:
    """The seconds that a mode adds, each compared with the same round without the callback."""
    added = [seconds[mode] - seconds["without"] for seconds in rounds]
    step = statistics.median(seconds["without"] for seconds in rounds) / steps
    share = [100 * extra / (CIFAR10_STEPS * step) for extra in added]
    return {
        "mode": mode,
        "seconds an epoch": statistics.median(seconds[mode] for seconds in rounds),
        "added seconds": statistics.median(added),
        "lowest": min(added),
        "highest": max(added),
        "% of a CIFAR-10 epoch": statistics.median(share),
        "lowest %": min(share),
        "highest %": max(share),
    }


if __name__ == "__main__":
    main()
