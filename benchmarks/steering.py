"""Time training steps with and without the penalty of `TopoLipRegularizer`, in turn, within one training.

    python benchmarks/steering.py                   a ResNet-18 on 32 x 32 pixels: about three minutes on two cores
    python benchmarks/steering.py --short           a micro network, writes nothing: a minute

Every second step is penalised, so that the steps with and without the penalty are neighbours.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, TensorDataset

from lightning_topolip import TopoLipRegularizer
from lightning_topolip.models import ResNetClassifier

BATCH, LAYERS = 128, 8


class Stopwatch(Callback):
    """Seconds from the end of a step to the end of the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Note the end of the step."""
        self.ends.append(time.perf_counter())
        if len(self.ends) > 1:
            self.seconds.append(self.ends[-1] - self.ends[-2])


def step_seconds(size: str, points: int, steps: int) -> list[float]:
    """Train for twice as many steps, of which the even ones are penalised; the first step is not timed."""
    seed_everything(0, verbose=False)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8 * BATCH, 3, 32, 32, generator=generator)
    loader = DataLoader(TensorDataset(images, torch.arange(len(images)) % 10), batch_size=BATCH, shuffle=True)
    watch = Stopwatch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Trainer(
            max_epochs=-1,
            max_steps=2 * steps + 1,
            accelerator="cpu",
            logger=False,
            callbacks=[TopoLipRegularizer(0.1, points=points, every_n_steps=2), watch],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(ResNetClassifier(size=size), loader)
    return watch.seconds


def shares(seconds: list[float]) -> dict[str, float]:
    """The penalty's part of a step: ``seconds[i]`` is that of step i + 1, penalised if i is odd."""
    without, penalised = seconds[::2], seconds[1::2]
    pairs = [(second - first) / first for first, second in zip(without, penalised, strict=False)]
    return {
        "step, s": statistics.median(without),
        "penalty, share of a step": statistics.median(pairs),
        "its standard error": statistics.stdev(pairs) / len(pairs) ** 0.5,
    }


def main() -> None:
    """Train, print the shares, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small", help="of ResNetClassifier; small is a ResNet-18")
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20, help="penalised steps")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("steering.json"))
    options = parser.parse_args()
    if options.short:
        options.size, options.steps = "micro", 8
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seconds = step_seconds(options.size, options.points, options.steps)
    results = shares(seconds)
    table = Table(title=f"ResNet {options.size}, batch {BATCH}, {LAYERS} layers, {options.points} points")
    for name in results:
        table.add_column(name, justify="right")
    table.add_row(*(f"{value:.3g}" for value in results.values()))
    Console(width=120).print(table)
    if options.short:
        return
    record = {
        "command": f"python benchmarks/steering.py --size {options.size} --points {options.points} "
        f"--steps {options.steps}",
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "lightning", "redzed-tda", "numpy")},
        "results": results,
        "seconds": seconds,
    }
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
